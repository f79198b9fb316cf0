"""When an answer is right: three rules, each of few words, that make no model of the world."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Rule = Literal["exact", "contains", "numeric"]

_OPENING = "\"'`*\u201c\u2018\u00ab([{<"
_CLOSING = "\"'`*\u201d\u2019\u00bb)]}>.,;:!?\u3002\u3001\u2026"
# A minus sign behind a word or a number is a hyphen, and a number within a word is none: "5-7" has 5 and 7, "B52" none.
_NUMBER = re.compile(
    r"""
    (?<!\w) (?:(?<![\w.])-)?             # within no word, with a sign
    (?:\d{1,3}(?:,\d{3})+(?!\d) | \d+)?  # 1,234 or 1234
    (?:\.\d+ | (?<=\d))                 # .5, or nothing behind digits
    (?:e[+-]?\d+)?
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Match:
    """How answers are compared.

    Args:
        rule: "exact": the same text after `normalised`; "contains": that text stands in the answer, between words;
            "numeric": the answer has one number, and it is that one.
        tolerance: of "numeric", as a share of the right number.
    """

    rule: Rule = "exact"
    tolerance: float = 0.0


def is_right(answer: str, expected: tuple[str, ...], match: Match) -> bool:
    """Whether it is one of those that are right."""
    match match.rule:
        case "exact":
            return normalised(answer) in {normalised(each) for each in expected}
        case "contains":
            text = normalised(answer)
            return any(_contains(text, normalised(each)) for each in expected)
        case "numeric":
            found = numbers(answer)
            if len(found) != 1:
                return False
            (number,) = found
            right = {each for text in expected for each in numbers(text)}
            return any(abs(number - each) <= match.tolerance * abs(each) + 1e-9 * abs(each) for each in right)


def normalised(text: str) -> str:
    """Unicode's compatible form, no case, one space for any blanks, and no quotes, brackets or ends of sentences around
    it; where nothing else is left they stay."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return text.lstrip(_OPENING + " ").rstrip(_CLOSING + " ") or text


def numbers(text: str) -> set[float]:
    """The different numbers in it, 1,234.5 and 1e3 among them; of words, such as three, none."""
    plain = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-")
    return {float(found[0].replace(",", "")) for found in _NUMBER.finditer(plain) if found[0]}


def _contains(text: str, wanted: str) -> bool:
    """As words, where the script has spaces between them."""
    before = r"(?<!\w)" if _is_of_words(wanted[:1]) else ""
    after = r"(?!\w)" if _is_of_words(wanted[-1:]) else ""
    return re.search(before + re.escape(wanted) + after, text) is not None


def _is_of_words(letter: str) -> bool:
    return letter.isdigit() or letter.upper() != letter
