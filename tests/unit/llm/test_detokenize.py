"""Text comes in whole characters, adds up to what the tokenizer says, and never shows a stop string."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from models.tokenizer import build_tokenizer
from models.untrained import CORPUS
from services.llm.detokenize import Detokenizer


def llama_style() -> PreTrainedTokenizerFast:
    """As of the published LLaVA-NeXT checkpoints: words begin with a mark, rare characters are byte tokens."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcderus.,é"]
    merges = [("▁", "a"), ("▁", "r"), ("▁r", "e"), ("▁re", "d"), ("b", "u"), ("bu", "s")]
    merges += [("▁", "b"), ("▁b", "u"), ("▁bu", "s"), ("a", "b")]
    pieces += ["".join(pair) for pair in merges]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", clean_up_tokenization_spaces=False
    )


TOKENIZER = build_tokenizer(CORPUS * 4, "")
LLAMA = llama_style()
both = pytest.mark.parametrize("tokenizer", [TOKENIZER, LLAMA], ids=["bytes", "llama"])
VOCABULARY = len(TOKENIZER)
examples = settings(max_examples=150, deadline=None, derandomize=True)
tokens = st.lists(st.integers(0, VOCABULARY - 1), max_size=40)
texts = st.text(
    st.one_of(
        st.sampled_from("abcde \n"),
        st.sampled_from("é€\N{GRINNING FACE}\N{HIRAGANA LETTER A}\N{COMBINING ACUTE ACCENT}"),
    ),
    max_size=30,
)


def ids_of(text: str, tokenizer=TOKENIZER) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def run(ids, stop=(), tokenizer=TOKENIZER):
    """Deltas up to the stop, the rest, and whether it stopped."""
    text = Detokenizer(tokenizer, tuple(stop))
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


@both
@examples
@given(text=texts)
def test_no_character_comes_in_parts_and_none_comes_late(tokenizer, text):
    ids = ids_of(text, tokenizer)
    told = ""
    stream = Detokenizer(tokenizer, ())
    for index, token in enumerate(ids):
        told += stream.add(token)
        assert text.startswith(told)
        # Of a text without broken bytes, what ends in U+FFFD is not finished.
        assert told.startswith(tokenizer.decode(ids[: index + 1]).rstrip("\ufffd"))
    assert told == text
    assert stream.finish() == ""


@pytest.mark.parametrize("broken", [b"\n\xb2", b"\n\xf0\x9f", b"@\xc1"])
def test_broken_bytes_behind_a_byte_token_are_survived(broken):
    ids = [*ids_of("red", LLAMA), *(3 + byte for byte in broken), *ids_of("bus", LLAMA)]
    deltas, rest, _ = run(ids, tokenizer=LLAMA)
    told = "".join(deltas) + rest
    assert told.startswith("red")
    assert told.endswith(" bus")


@examples
@given(ids=st.lists(st.integers(0, len(LLAMA) - 1), max_size=20))
@example(ids=[30, 181, 297])
@example(ids=[30, 2, 272])
def test_any_tokens_are_survived(ids):
    """Of bytes that make no character, Llama's decoder takes back what came before, so only the rest can be equal."""
    deltas, rest, _ = run(ids, tokenizer=LLAMA)
    whole = LLAMA.decode(ids, skip_special_tokens=True)
    if "\ufffd" not in whole:
        assert "".join(deltas) + rest == whole


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_character_cut_off_by_max_tokens(cut):
    whole = ids_of("red\n\N{GRINNING FACE}", LLAMA)
    deltas, rest, _ = run(whole[: len(whole) - cut], tokenizer=LLAMA)
    assert ("".join(deltas) + rest).rstrip("\ufffd").rstrip() == "red"


def test_special_tokens_say_nothing():
    deltas, rest, _ = run([*ids_of("red"), 2, 5, *ids_of(" bus"), 2])
    assert "".join(deltas) + rest == "red bus"


def test_an_id_beyond_the_tokenizer_says_nothing():
    """Models pad their vocabulary, and random weights choose the padding too."""
    deltas, rest, _ = run([*ids_of("red"), VOCABULARY, VOCABULARY + 100, *ids_of(" bus")])
    assert "".join(deltas) + rest == "red bus"


def expected(ids, stop, tokenizer):
    """The first moment at which a stop string is there, and the text before the earliest of those there."""
    for index in range(len(ids)):
        text = tokenizer.decode(ids[: index + 1], skip_special_tokens=True).rstrip("\ufffd")
        found = [text.find(s) for s in stop if s in text]
        if found:
            return text[: min(found)], True
    return tokenizer.decode(ids, skip_special_tokens=True), False


stops = st.lists(st.text(st.sampled_from("abc \né€\N{GRINNING FACE}"), min_size=1, max_size=5), max_size=4)


@both
@examples
@given(text=texts, stop=stops, data=st.data())
@example(text="aaab", stop=["aab"], data=None)
@example(text="ababac", stop=["abac"], data=None)
@example(text="abcabd", stop=["abd", "bca"], data=None)
@example(text="abc", stop=["a"], data=None)
@example(text="abc", stop=["abc"], data=None)
@example(text="éa\N{GRINNING FACE}", stop=["a\N{GRINNING FACE}"], data=None)
@example(text="abab", stop=["abc", "babb"], data=None)
def test_stop_strings(tokenizer, text, stop, data):
    if data is not None and text and data.draw(st.booleans()):
        start = data.draw(st.integers(0, len(text) - 1))
        stop = [*stop, text[start : start + data.draw(st.integers(1, 6))]]
    ids = ids_of(text, tokenizer)
    deltas, rest, stopped = run(ids, stop, tokenizer)
    told = "".join(deltas) + rest
    assert (told, stopped) == expected(ids, stop, tokenizer)
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


@both
@examples
@given(text=texts, stop=stops)
def test_no_more_is_held_back_than_a_stop_string_may_need(tokenizer, text, stop):
    stream = Detokenizer(tokenizer, tuple(stop))
    told = ""
    ids = ids_of(text, tokenizer)
    for index, token in enumerate(ids):
        told += stream.add(token)
        if stream.stopped:
            return
        text_so_far = tokenizer.decode(ids[: index + 1]).rstrip("\ufffd")
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
@both
def test_stop_strings_by_hand(tokenizer, text, stop, answer):
    deltas, rest, stopped = run(ids_of(text, tokenizer), stop, tokenizer)
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


def test_of_one_that_is_there_twice_the_first_counts():
    (token,) = ids_of(" yellow")
    deltas, rest, stopped = run([token], ["l"])
    assert ("".join(deltas) + rest, stopped) == (" ye", True)


def test_after_a_stop_nothing_comes():
    stream = Detokenizer(TOKENIZER, ("bus",))
    told = [stream.add(token) for token in ids_of("red bus")]
    assert stream.stopped
    assert "".join(told) == "red "
    assert stream.finish() == ""


class Counting:
    """A tokenizer that counts the ids it decodes."""

    def __init__(self, tokenizer) -> None:
        self.decoded = 0
        self._tokenizer = tokenizer

    def __getattr__(self, name: str):
        return getattr(self._tokenizer, name)

    def decode(self, ids, **options) -> str:
        self.decoded += len(ids)
        return self._tokenizer.decode(ids, **options)


def wordless() -> PreTrainedTokenizerFast:
    """With a token that isn't special and has no text."""
    vocabulary = {"": 0, "a": 1, " ": 2, "</s>": 3}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    core.decoder = decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", clean_up_tokenization_spaces=False)


QUIET = wordless()


@pytest.mark.parametrize("text", [[], [1]], ids=["at the beginning", "behind text"])
@pytest.mark.parametrize(
    ("tokenizer", "quiet"),
    [(TOKENIZER, 1), (LLAMA, 2), (TOKENIZER, VOCABULARY + 7), (LLAMA, len(LLAMA) + 7), (QUIET, 0), (QUIET, 3)],
    ids=["special", "special, llama", "unused", "unused, llama", "empty", "special, no merges"],
)
def test_tokens_that_say_nothing_cost_no_more_than_words(tokenizer, quiet, text):
    """Not the seconds are counted but the work: ids that are decoded, in all, a token of the answer."""
    text = text and [tokenizer.convert_tokens_to_ids("a")]
    counting = Counting(tokenizer)
    deltas, rest, _ = run([*text, *[quiet] * 1500, *ids_of("a", tokenizer)], (), counting)
    assert "".join(deltas) + rest == tokenizer.decode(
        [*text, *[quiet] * 1500, *ids_of("a", tokenizer)], skip_special_tokens=True
    )
    assert counting.decoded <= 40 * 1500


def test_a_words_mark_among_tokens_that_say_nothing_is_kept():
    """Llama's decoder takes the first mark of a text away, wherever special tokens stand."""
    mark = LLAMA.convert_tokens_to_ids("▁")
    for ids in ([2] * 40 + [mark] + ids_of(" a", LLAMA), [mark, *[2] * 40, mark, 2, *ids_of("a", LLAMA)]):
        deltas, rest, _ = run(ids, tokenizer=LLAMA)
        assert "".join(deltas) + rest == LLAMA.decode(ids, skip_special_tokens=True)
