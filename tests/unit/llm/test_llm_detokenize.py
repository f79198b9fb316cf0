"""Text comes in whole characters, adds up to what the tokenizer says, and never shows a stop string."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from llm_parts import MODEL
from transformers import AutoTokenizer

from services.llm.detokenize import Detokenizer

TOKENIZER = AutoTokenizer.from_pretrained(MODEL)
VOCABULARY = len(TOKENIZER)
examples = settings(max_examples=150, deadline=None, derandomize=True)
# What tokens of single bytes make; 200..263 of them are no ASCII.
tokens = st.lists(st.integers(0, VOCABULARY - 1), max_size=40)
texts = st.text(
    st.one_of(
        st.sampled_from("abcde \n"),
        st.sampled_from("é€\N{GRINNING FACE}\N{HIRAGANA LETTER A}\N{COMBINING ACUTE ACCENT}"),
    ),
    max_size=30,
)


def ids_of(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False).input_ids


def run(ids, stop=()):
    """Deltas up to the stop, the rest, and whether it stopped."""
    text = Detokenizer(TOKENIZER, tuple(stop))
    deltas = []
    for token in ids:
        deltas.append(text.add(token))
        if text.stopped:
            break
    return deltas, text.finish(), text.stopped


@examples
@given(ids=tokens)
@example(ids=ids_of("\N{GRINNING FACE}")[:2])
@example(ids=ids_of("\N{GRINNING FACE}")[1:] + ids_of("a"))
@example(ids=ids_of("\N{GRINNING FACE}")[:3] * 3 + ids_of("né"))
@example(ids=[1, 2, 3, 4, 5, 6, 0])
@example(ids=ids_of("\ufffd") * 2)
@example(ids=ids_of(" a  b ,.n't 's"))
def test_what_is_told_is_what_the_tokenizer_decodes(ids):
    deltas, rest, stopped = run(ids)
    assert "".join(deltas) + rest == TOKENIZER.decode(ids, skip_special_tokens=True)
    assert not stopped


@examples
@given(text=texts)
def test_no_character_comes_in_parts_and_none_comes_late(text):
    ids = ids_of(text)
    told = ""
    stream = Detokenizer(TOKENIZER, ())
    for index, token in enumerate(ids):
        told += stream.add(token)
        # Of a text without broken bytes, what ends in U+FFFD is not finished.
        assert told == TOKENIZER.decode(ids[: index + 1]).rstrip("\ufffd")
    assert told == text
    assert stream.finish() == ""


def test_special_tokens_say_nothing():
    deltas, rest, _ = run([*ids_of("red"), 2, 5, *ids_of(" bus"), 2])
    assert "".join(deltas) + rest == "red bus"


def test_an_id_beyond_the_tokenizer_says_nothing():
    """Models pad their vocabulary, and random weights choose the padding too."""
    deltas, rest, _ = run([*ids_of("red"), VOCABULARY, VOCABULARY + 100, *ids_of(" bus")])
    assert "".join(deltas) + rest == "red bus"


def expected(ids, stop):
    """The first moment at which a stop string is there, and the text before the earliest of those there."""
    for index in range(len(ids)):
        text = TOKENIZER.decode(ids[: index + 1], skip_special_tokens=True).rstrip("\ufffd")
        found = [text.find(s) for s in stop if s in text]
        if found:
            return text[: min(found)], True
    return TOKENIZER.decode(ids, skip_special_tokens=True), False


stops = st.lists(st.text(st.sampled_from("abc \né€\N{GRINNING FACE}"), min_size=1, max_size=5), max_size=4)


@examples
@given(text=texts, stop=stops, data=st.data())
@example(text="aaab", stop=["aab"], data=None)
@example(text="ababac", stop=["abac"], data=None)
@example(text="abcabd", stop=["abd", "bca"], data=None)
@example(text="abc", stop=["a"], data=None)
@example(text="abc", stop=["abc"], data=None)
@example(text="éa\N{GRINNING FACE}", stop=["a\N{GRINNING FACE}"], data=None)
@example(text="abab", stop=["abc", "babb"], data=None)
def test_stop_strings(text, stop, data):
    if data is not None and text and data.draw(st.booleans()):
        start = data.draw(st.integers(0, len(text) - 1))
        stop = [*stop, text[start : start + data.draw(st.integers(1, 6))]]
    ids = ids_of(text)
    deltas, rest, stopped = run(ids, stop)
    told = "".join(deltas) + rest
    assert (told, stopped) == expected(ids, stop)
    assert not any(s in told for s in stop)


@examples
@given(ids=tokens, stop=stops)
def test_broken_bytes_do_not_hide_a_stop_string(ids, stop):
    assume(stop)
    deltas, rest, stopped = run(ids, stop)
    told = "".join(deltas) + rest
    assert not any(s in told for s in stop)
    whole = TOKENIZER.decode(ids, skip_special_tokens=True)
    assert whole.startswith(told)
    assert stopped == any(s in whole for s in stop)


@examples
@given(text=texts, stop=stops)
def test_no_more_is_held_back_than_a_stop_string_may_need(text, stop):
    stream = Detokenizer(TOKENIZER, tuple(stop))
    told = ""
    ids = ids_of(text)
    for index, token in enumerate(ids):
        told += stream.add(token)
        if stream.stopped:
            return
        text_so_far = TOKENIZER.decode(ids[: index + 1]).rstrip("\ufffd")
        held = text_so_far[len(told) :]
        assert held == "" or any(s.startswith(held) for s in stop)


@pytest.mark.parametrize(
    ("text", "stop", "answer"),
    [
        ("red bus", ["red"], ""),
        ("red bus", ["r"], ""),
        ("red bus", [" "], "red"),
        ("red bus", ["s"], "red bu"),
        ("red bus", ["d b"], "re"),
        ("red bus stop", ["bus", "d", "stop"], "re"),
        ("aaaab", ["aab"], "aa"),
        ("one\n\nUSER: two", ["\n\nUSER:", "\n\n\n"], "one"),
        ("naïve €5", ["€"], "naïve "),
        ("red", ["red bus"], "red"),
        ("red b", ["d bus"], "red b"),
    ],
)
def test_stop_strings_by_hand(text, stop, answer):
    deltas, rest, stopped = run(ids_of(text), stop)
    assert "".join(deltas) + rest == answer
    assert stopped == any(s in text for s in stop)
    if stopped:
        assert rest == ""


def test_of_several_that_end_together_the_earliest_begins_the_cut():
    # One token that completes both: " black" ends "d black" and is " black".
    ids = [*ids_of("red"), *ids_of(" black")]
    assert len(ids_of(" black")) == 1
    for stop in (["black", "d black"], ["d black", "black"]):
        deltas, rest, stopped = run(ids, stop)
        assert ("".join(deltas) + rest, stopped) == ("re", True)


def test_after_a_stop_nothing_comes():
    stream = Detokenizer(TOKENIZER, ("bus",))
    told = [stream.add(token) for token in ids_of("red bus")]
    assert stream.stopped
    assert "".join(told) == "red "
    assert stream.finish() == ""
