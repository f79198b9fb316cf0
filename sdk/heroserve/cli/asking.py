"""What `batch` and `curve` share: questions into a file of answers, told of as they go, and stopped without a loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import grpc

from heroserve.batch.answers import AnswerFile
from heroserve.batch.many import Outcome, ask_many
from heroserve.batch.question import BadLine, Question
from heroserve.batch.records import Record, answered, failed, reason
from heroserve.cli.output import warn, write_error
from heroserve.cli.progress import Progress, Tally
from heroserve.cli.question_file import FOR_ALL, QuestionSource
from heroserve.cli.stopping import Stopping
from heroserve.client import Client
from heroserve.errors import HeroserveError
from heroserve.requests import GenerateOptions
from heroserve.v1.chat_pb2 import GenerateRequest

# Of the service, and not of a question, if one after the other ends so.
_OF_SERVICE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.FAILED_PRECONDITION,
)
_SHOWN = 10


@dataclass(frozen=True)
class Job:
    """A question, and the options that its answer's record is kept under."""

    question: Question | BadLine
    options: dict[str, Any]


def warn_of_empty(tally: Tally, as_json: bool) -> None:
    """What `ask` says of one."""
    if tally.empty:
        count = "1 answer is" if tally.empty == 1 else f"{tally.empty} answers are"
        warn(f"{count} empty: the model ended at once; ask otherwise, or with a higher --retention", as_json)


def jobs(source: QuestionSource, options: dict[str, Any], model: str) -> Iterator[Job]:
    """Each question of a source, under a command's options; `system` among them is for those without one."""
    for question in source.read(model):
        if isinstance(question, Question) and "system" in options:
            question = question.instructed(options["system"])
        yield Job(question, options)


_Asked = tuple[Question, dict[str, Any]]


@dataclass
class Asking:
    """One run.

    Args:
        client: that waits overloads out.
        file: of answers.
        progress: to be told.
        defaults: for what a question does not say.
        concurrency: questions at a time.
        model: what the service calls its own.
    """

    client: Client
    file: AnswerFile
    progress: Progress
    defaults: GenerateOptions
    concurrency: int
    model: str = ""

    def __post_init__(self) -> None:
        self.tally = Tally()
        self.stopping = Stopping()
        self._in_a_row = 0

    def run(self, jobs: Iterable[Job]) -> Tally:
        """To their end, or until somebody stops it (`stopping`).

        Raises HeroserveError where the service can't answer any; Told where the file takes no more.
        """
        outcomes = ask_many(self.client, self._to_ask(jobs), self._request, concurrency=self.concurrency)
        with self.stopping, closing(outcomes):
            for outcome in outcomes:
                self._keep(outcome)
        return self.tally

    def _to_ask(self, jobs: Iterable[Job]) -> Iterator[_Asked]:
        for job in jobs:
            if self.stopping.status:
                return
            if isinstance(job.question, BadLine):
                self._failed(job, job.question.error)
            elif self.file.take(job.question.key, job.options):
                self.tally.before += 1
            else:
                yield job.question, job.options
                continue
            self.progress.show(self.tally)

    def _request(self, item: _Asked) -> GenerateRequest:
        return item[0].request(self.defaults)

    def _keep(self, outcome: Outcome[_Asked]) -> None:
        (question, under), answer, error = outcome.item, outcome.answer, outcome.error
        if answer is not None:
            self._in_a_row = 0
            self._append(answered(question, under, answer, self.model))
            self.tally.answered += 1
            self.tally.empty += not answer.text.strip()
            self.tally.savings += answer.savings
        elif error is not None:
            if error.code in (*FOR_ALL, grpc.StatusCode.UNIMPLEMENTED):
                raise error
            self._failed(Job(question, under), error)
            self._in_a_row = self._in_a_row + 1 if error.code in _OF_SERVICE else 0
            if self._in_a_row >= max(2 * self.concurrency, _SHOWN):
                raise error
        self.progress.show(self.tally)

    def _failed(self, job: Job, error: HeroserveError) -> None:
        self._append(failed(job.question, job.options, error))
        self.tally.failed += 1
        if self.tally.failed <= _SHOWN:
            self.progress.say(reason(job.question, error))
        elif self.tally.failed == _SHOWN + 1:
            self.progress.say("and more, which the answers' file tells of")

    def _append(self, record: Record) -> None:
        try:
            self.file.append(record)
        except OSError as error:
            raise write_error(error, self.file.path) from error
