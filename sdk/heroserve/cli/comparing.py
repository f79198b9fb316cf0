"""What `curve` asks, and what it makes of the answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from heroserve.batch.question import BadLine, Question
from heroserve.batch.records import Record
from heroserve.cli.asking import Job
from heroserve.cli.told import FAILED, Told
from heroserve.curve.matching import Match, Rule, is_right, numbers
from heroserve.curve.points import Curve, Row, measure
from heroserve.errors import ArgumentError


@dataclass(frozen=True)
class _Asked:
    key: str
    pictures: tuple[str, ...]
    expected: tuple[str, ...]
    match: Match


class Compared:
    """Every question at every retention.

    Args:
        retentions: highest first.
        match: of questions that do not say.
    """

    def __init__(self, retentions: Sequence[float], match: Match) -> None:
        self._retentions = retentions
        self._match = match
        self._asked: list[_Asked] = []
        self._bad = 0

    def jobs(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """A job for each; those of one question follow each other, so that its image need not be cached for long."""
        for job in jobs:
            question = self._comparable(job.question)
            if isinstance(question, BadLine):
                self._bad += 1
                yield Job(question, job.options)
                continue
            for retention in self._retentions:
                yield Job(question.within(retention), {**job.options, "retention": retention})

    def measure(self, records: Iterable[Record]) -> Curve:
        """Of the answers to what was asked. Raises Told where no question has all of its answers."""
        found: dict[tuple[str, float], list[tuple[str, int, int]]] = defaultdict(list)
        for record in records:
            if record.get("error") is None:
                told = record.get("heroserve", record)
                found[told["key"], told["options"].get("retention")].append(_answer(record))
        rows = []
        for asked in self._asked:
            answers = [found[asked.key, retention] for retention in self._retentions]
            if all(answers):
                # Of a line that stands there twice each has its own.
                texts, kept, total = zip(*(each.pop(0) for each in answers), strict=True)
                right = tuple(is_right(text, asked.expected, asked.match) for text in texts)
                rows.append(Row(asked.pictures, right, kept, max(total)))
        if not rows:
            raise Told("no question has an answer at every retention: there is no curve", status=FAILED, code="UNKNOWN")
        return measure(rows, self._retentions, self._bad + len(self._asked) - len(rows))

    def _comparable(self, question: Question | BadLine) -> Question | BadLine:
        """With an answer to compare with, or bad."""
        if isinstance(question, BadLine):
            return question
        match = replace(self._match, rule=cast(Rule, question.match)) if question.match else self._match
        problem = ""
        if not question.expected:
            problem = "is missing; it is what the service's answer is compared with"
        elif match.rule == "numeric" and (odd := [each for each in question.expected if len(numbers(each)) != 1]):
            problem = f"is {odd[0][:40]!r}, which is not one number; the rule is numeric"
        if problem:
            error = ArgumentError(f"answer: {problem}")
            return BadLine(question.line, question.key, error, question.id, question.format)
        self._asked.append(_Asked(question.key, question.pictures, question.expected, match))
        return question


def _answer(record: Record) -> tuple[str, int, int]:
    """Its text, and visual tokens kept and in all."""
    if "response" in record:
        body = record["response"]["body"]
        tokens = body["usage"]["heroserve"]["visual_tokens"]
        return body["choices"][0]["message"]["content"], tokens["kept"], tokens["total"]
    return record["answer"], record["savings"]["kept"], record["savings"]["total"]
