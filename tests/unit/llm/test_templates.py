"""Templates of every kind: where they are kept, in which form they take what is said, and what they can't do."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, LlavaNextProcessor

from models.tokenizer import CHAT_TEMPLATE
from services.common.settings import SettingError
from services.llm import parts, rehearsal
from services.llm.app import build as build_application
from services.llm.job import ChatJob, ImagePart, Turn
from services.llm.prompt import PromptBuilder
from services.llm.refusal import Refusal
from services.llm.settings import LlmSettings
from tests.support.hugging_face import conversation_inputs
from tests.support.kinds import CHECKPOINTS, CONVERSATIONS, mimic
from tests.support.llm_parts import edit, picture
from tests.support.templates import (
    ADDS_STRINGS,
    MISTRAL,
    MIXED,
    NO_SYSTEM,
    SHOWS_LISTS,
    TEXT_ONLY,
    VICUNA,
)
from tests.support.tokenizers import sentencepiece_like

IMAGE = ImagePart(digest="0" * 64)


def job(turns: Any) -> ChatJob:
    return ChatJob(tuple(Turn(role, tuple(said)) for role, said in turns))


def opened(folder: Path, **settings: Any) -> PromptBuilder:
    return parts.open_prompts(LlmSettings(model=str(folder), **settings))


def with_template(folder: Path, template: str) -> PromptBuilder:
    (folder / "chat_template.jinja").write_text(template)
    return opened(folder)


def text(prompts: PromptBuilder, *turns: tuple[str, list[Any]]) -> str:
    return prompts.tokenizer.decode(prompts.build(job(turns)))


def hugging_faces(folder: Path, turns: Any) -> list[int]:
    """The processor's ids, a run of placeholders cut down to one."""
    out = conversation_inputs(folder, turns, lambda _: picture(112, 112))
    placeholder = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("<image>")
    runs = [(token, list(run)) for token, run in itertools.groupby(out["input_ids"][0].tolist())]
    return [token for first, run in runs for token in (run[:1] if first == placeholder else run)]


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_ids_are_hugging_faces_on_every_kind_of_checkpoint(folder, kind):
    make, template = CHECKPOINTS[kind]
    mimic(folder, make(), template)
    prompts = opened(folder)
    for turns in CONVERSATIONS.values():
        assert prompts.build(job(turns)) == hugging_faces(folder, turns)


def test_several_texts_of_a_turn_are_closed_once(folder):
    """Mistral's template closes the instruction behind each, and leaves out all but the first system text."""
    mimic(folder, sentencepiece_like(), MISTRAL)
    prompts = opened(folder)
    several = job([("system", ["be", "brief"]), ("user", ["what is", IMAGE, "this?"])])
    joined = job([("system", ["be\nbrief"]), ("user", [IMAGE, "what is\nthis?"])])
    assert prompts.build(several) == prompts.build(joined)
    assert prompts.tokenizer.decode(prompts.build(several)).count("[/INST]") == 1


def test_several_texts_of_a_turn_stay_apart_where_the_template_takes_them(folder):
    mimic(folder, sentencepiece_like(), VICUNA)
    turns = [("user", ["what is", IMAGE, "this?"])]
    assert opened(folder).build(job(turns)) == hugging_faces(folder, turns)


@pytest.mark.parametrize(
    "template", [SHOWS_LISTS, ADDS_STRINGS, MIXED, TEXT_ONLY], ids=["list", "adds", "mixed", "text"]
)
def test_templates_that_want_strings(folder, template):
    prompts = with_template(folder, template)
    assert text(prompts, ("user", ["what?", IMAGE])) == "<s><|user|><image>\nwhat?<|assistant|>"
    assert text(prompts, ("user", [IMAGE, IMAGE, "both?"])) == "<s><|user|><image>\n<image>\nboth?<|assistant|>"
    whole = text(prompts, ("system", ["be", "brief"]), ("user", [IMAGE, "a"]), ("assistant", ["b"]), ("user", ["c"]))
    assert whole.replace("</s>", "") in (
        f"<s><|system|>be{between}brief<|user|><image>\na<|assistant|>b<|user|>c<|assistant|>" for between in ("\n", "")
    )
    # The placeholder is the template's; a caller's is text.
    ids = prompts.build(job([("user", [IMAGE, "an <image> tag"])]))
    assert ids.count(prompts.image_token_id) == 1


def put(folder: Path, where: str, template: Any) -> None:
    """Keep a template in one of the places there are."""
    match where:
        case "chat_template.jinja":
            (folder / where).write_text(template)
        case "chat_template.json":
            (folder / where).write_text(json.dumps({"chat_template": template}))
        case _:
            file = folder / where
            content = json.loads(file.read_text()) if file.exists() else {}
            file.write_text(json.dumps(content | {"chat_template": template}))


PLACES = ["processor_config.json", "chat_template.json", "chat_template.jinja", "tokenizer_config.json"]


@pytest.mark.parametrize("first", range(len(PLACES)), ids=PLACES)
def test_where_templates_are_kept(folder, first):
    """In transformers' order: each goes before those after it."""
    (folder / "chat_template.jinja").unlink()
    for where in PLACES[first:]:
        put(folder, where, f"{where} {CHAT_TEMPLATE}")
    assert text(opened(folder), ("user", ["a"])) == f"<s>{PLACES[first]} <|user|>a<|assistant|>"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = LlavaNextProcessor.get_processor_dict(folder)[0]
    assert (processor.get("chat_template") or tokenizer.chat_template).startswith(PLACES[first])


NAMED = {"tool_use": "TOOL " + CHAT_TEMPLATE, "default": "MAIN " + CHAT_TEMPLATE}
LISTED = [{"name": name, "template": template} for name, template in NAMED.items()]


@pytest.mark.parametrize(
    ("where", "templates"),
    [
        ("tokenizer_config.json", LISTED),
        ("processor_config.json", LISTED),
        ("processor_config.json", NAMED),
        ("chat_template.json", LISTED),
    ],
)
def test_templates_by_name(folder, where, templates):
    (folder / "chat_template.jinja").unlink()
    put(folder, where, templates)
    assert text(opened(folder), ("user", ["a"])) == "<s>MAIN <|user|>a<|assistant|>"
    assert text(opened(folder, chat_template="tool_use"), ("user", ["a"])) == "<s>TOOL <|user|>a<|assistant|>"


def test_no_default_among_them_is_told_with_the_names(folder):
    (folder / "chat_template.jinja").unlink()
    put(folder, "tokenizer_config.json", [{"name": "rag", "template": "x"}, {"name": "tool_use", "template": "y"}])
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*set HEROSERVE_CHAT_TEMPLATE to one of rag, tool_use"):
        opened(folder)


def test_no_template_names_both_variables(folder):
    edit(folder, absent=("chat_template.jinja",))
    with pytest.raises(
        SettingError, match=r"^HEROSERVE_MODEL='.*': it has no chat template; set HEROSERVE_CHAT_TEMPLATE"
    ):
        opened(folder)


def test_a_template_of_the_settings(folder, tmp_path):
    edit(folder, absent=("chat_template.jinja",))
    file = tmp_path / "mine.jinja"
    file.write_text("MINE " + CHAT_TEMPLATE)
    for chosen in (str(file), f" {file}\n", "MINE " + CHAT_TEMPLATE):
        assert text(opened(folder, chat_template=chosen), ("user", ["a"])) == "<s>MINE <|user|>a<|assistant|>"
    # Replicas may run where the file is not.
    settled = parts.settled(LlmSettings(model=str(folder), chat_template=str(file)))
    assert settled.chat_template == "MINE " + CHAT_TEMPLATE
    assert parts.settled(settled) == settled


@pytest.mark.parametrize(
    ("chosen", "problem"),
    [
        ("/nowhere/mine.jinja", "no template, and no file with one"),
        ("{{ broken", "fails"),
        ("{% for message in messages %}{{ message.role }}{% endfor %}", "leaves out"),
        ("{{ raise_exception('never') }}", "fails: never"),
        ("{% for i in range(2) %}" * 25 + "{% endfor %}" * 25, "fails: too many statically nested blocks"),
    ],
)
def test_a_template_of_the_settings_that_is_none(folder, chosen, problem):
    with pytest.raises(SettingError, match=rf"^HEROSERVE_CHAT_TEMPLATE.*{problem}"):
        opened(folder, chat_template=chosen)


@pytest.mark.parametrize(
    "secret",
    [
        *("hunter2", "[login]\npassword = hunter2\n", '{"password": "hunter2"}', "password: {{ hunter2.value }}"),
        *("{% hunter2 %}", "{{ 'a' | hunter2 }}", "a: {{ hunter2 hunter2 }}", '{% include "hunter2" %}'),
    ],
)
def test_a_file_that_is_no_template_is_named_and_not_repeated(folder, tmp_path, secret):
    file = tmp_path / "token"
    file.write_text(secret)
    with pytest.raises(SettingError, match=rf"^HEROSERVE_CHAT_TEMPLATE='{file}': .*(Jinja|can't ask)") as refused:
        build_application({"HEROSERVE_MODEL": str(folder), "HEROSERVE_CHAT_TEMPLATE": str(file)})
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ wrong() }}", "fails: 'wrong' is undefined"),
        ("{% endfor %}", "fails: "),
        ("<image>" + CHAT_TEMPLATE, "makes 2 placeholders of 1 images"),
        (CHAT_TEMPLATE.replace("{{ part.text }}", ""), "leaves out"),
    ],
)
def test_a_template_that_can_not_ask_is_told_before_anything_is_served(folder, template, problem):
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(SettingError, match=rf"^HEROSERVE_MODEL='.*{problem}.*HEROSERVE_CHAT_TEMPLATE takes another"):
        build_application({"HEROSERVE_MODEL": str(folder)})


DROPS_SYSTEM = CHAT_TEMPLATE.replace(
    "{% for message in messages %}", "{% for message in messages if message.role != 'system' %}"
)
ONE_TURN = CHAT_TEMPLATE.replace(
    "{% for message in messages %}",
    "{% if messages|length > 1 and messages[1].role == 'assistant' %}{{ raise_exception('one turn') }}{% endif %}"
    "{% for message in messages %}",
)


@pytest.mark.parametrize(
    ("template", "role", "reason"),
    [
        (DROPS_SYSTEM, "system", "it leaves out 2 of 2 texts"),
        (NO_SYSTEM.replace("im_start|>' + message['role'] + '\n", "user|>"), "system", "System role not supported"),
        (ONE_TURN, "assistant", "one turn"),
    ],
    ids=["left out", "raises", "one turn"],
)
def test_a_role_that_the_template_does_not_take_is_refused(folder, template, role, reason):
    prompts = with_template(folder, template)
    turns = [("user", ["a"]), ("assistant", ["b"]), ("user", ["c"])]
    turns = [("system", ["x"]), ("user", ["c"])] if role == "system" else turns
    with pytest.raises(Refusal, match=f"is {role}; the model's chat template takes none .*{reason}") as refused:
        prompts.build(job(turns))
    assert (refused.value.role.name, refused.value.role.turn) == ("message_role", [r for r, _ in turns].index(role))
    assert prompts.build(job([("user", [IMAGE, "c"])])).count(prompts.image_token_id) == 1


ONE_IMAGE = CHAT_TEMPLATE.replace(
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}",
    "{% if loop.first and message.content[0].type == 'image' %}<image>\n{% endif %}",
)


def test_a_template_with_one_place(folder):
    prompts = with_template(folder, ONE_IMAGE)
    assert not prompts.places_images
    with pytest.raises(Refusal, match="messages: have 2 images; the model's chat template has places for 1"):
        prompts.build(job([("user", [IMAGE, IMAGE, "a"])]))
    parts.check(LlmSettings(model=str(folder)))
    with pytest.raises(SettingError, match=r"^HEROSERVE_MAX_IMAGES=2: .* no place for a second image"):
        parts.check(LlmSettings(model=str(folder), max_images=2))


def kept(where: str, content: Any) -> Callable[[Path], None]:
    """Write this in the place of a file; bytes as they are."""

    def damage(folder: Path) -> None:
        (folder / where).unlink(missing_ok=True)
        if where == "tokenizer_config.json":
            (folder / "chat_template.jinja").unlink()
        (folder / where).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    return damage


def linked(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/nowhere/tokenizer.json")


NO_TEXT = "its chat_template .* has a int; expected texts by name"
NONE = "it has no chat template; set HEROSERVE_CHAT_TEMPLATE"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
ODD_FILES: list[tuple[Callable[[Path], Any], str]] = [
    *((kept("chat_template.json", odd), "chat_template.json is not a JSON object") for odd in (None, [], 5, [1])),
    *((kept("processor_config.json", odd), "processor_config.json is not a JSON object") for odd in (None, [], 5, "x")),
    (kept("chat_template.json", {}), "chat_template.json has no 'chat_template'$"),
    *(
        (kept(file, POINTER), f"{file} is a Git LFS pointer")
        for file in (
            *("chat_template.jinja", "chat_template.json", "processor_config.json", "special_tokens_map.json"),
            *("added_tokens.json", "vocab.json"),
        )
    ),
    (kept("chat_template.jinja", CHAT_TEMPLATE.encode("utf-16")), r"chat_template.jinja is not text in UTF-8 \("),
    (kept("chat_template.jinja", b"x" * (2 << 20)), "chat_template.jinja has 2097152 bytes"),
    (kept("tokenizer_config.json", {"chat_template": {"default": 5}}), NO_TEXT),
    (kept("tokenizer_config.json", {"chat_template": [{"name": "default", "template": 5}]}), NO_TEXT),
    (kept("tokenizer_config.json", {"chat_template": [{"name": 5, "template": "x"}]}), NO_TEXT),
    (kept("tokenizer_config.json", {"chat_template": {"default": None}}), NONE),
    (kept("tokenizer_config.json", {"chat_template": [{"name": "default", "template": ""}]}), NONE),
    (kept("tokenizer_config.json", {"model_max_length": "x"}), "tokenizer_config.json makes a tokenizer that reads no"),
    (lambda folder: (folder / "tokenizer.json").unlink(), r".*no usable tokenizer \(tokenizer.json is not there\)"),
    (linked, r"tokenizer.json can't be read \(it is a link to [^ ]*, which is not there\)"),
    (kept("tokenizer.json", {}), "tokenizer.json has no 'model'"),
    (kept("tokenizer.json", []), "tokenizer.json is not a JSON object but list"),
    (kept("tokenizer.json", {"model": {}, "added_tokens": []}), "it has no usable tokenizer"),
]


@pytest.mark.parametrize(("damage", "told"), ODD_FILES, ids=[str(index) for index in range(len(ODD_FILES))])
def test_a_file_that_is_not_what_its_name_says_is_told_by_name(folder, damage, told):
    damage(folder)
    with pytest.raises(SettingError, match=f"^HEROSERVE_MODEL='[^']*': {told}") as refused:
        opened(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("chosen", ["~nobody-of-that-name/x", "pipe", "/dev/zero", "a\0b", "long"])
def test_what_is_no_file_of_a_template_is_neither_read_nor_waited_for(folder, tmp_path, chosen):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * (2 << 20))
    chosen = str(tmp_path / chosen) if chosen in ("pipe", "long") else chosen
    with pytest.raises(SettingError, match=r"^HEROSERVE_CHAT_TEMPLATE=.*(no template|not a regular file|bytes)"):
        opened(folder, chat_template=chosen)


FOR_EVER = "{% for i in range(99999) %}" * 4 + "{% endfor %}" * 4
TOO_MUCH = "{% if messages|length > 1 and 'a' * 2000000000 %}{% endif %}"


@pytest.mark.parametrize("chosen", [False, True], ids=["the checkpoint's", "the setting's"])
@pytest.mark.parametrize(
    ("added", "told"),
    [
        (FOR_EVER, "the chat template takes more than 1 s for a few questions"),
        # In those that a caller's conversation is like, and where jinja computes before it renders.
        (TOO_MUCH, "the chat template takes more than 1 GiB of memory for a question"),
        ("{{ 'a' * 1000000000000 }}", "the chat template takes more than 1 GiB of memory"),
        ("{{ 'a' * 5000000 }}", "it makes 50000[0-9]+ characters of [0-9]+"),
    ],
    ids=["for ever", "much", "at once", "long"],
)
def test_a_template_that_takes_too_much_is_told_before_anything_is_served(folder, monkeypatch, chosen, added, told):
    if added == FOR_EVER:
        monkeypatch.setattr(rehearsal, "_SECONDS", 1)
    template = added + CHAT_TEMPLATE
    variable = "HEROSERVE_CHAT_TEMPLATE: " if chosen else "HEROSERVE_MODEL='[^']*': "
    if not chosen:
        (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(SettingError, match=f"^{variable}.*{told}") as refused:
        parts.check(LlmSettings(model=str(folder), chat_template=template if chosen else ""))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("{{ 'a' * 100000000000000 }}", "do not fit the model's chat template: MemoryError"),
        ("{{ part.text * 999 }}", "it makes .* characters of"),
    ],
    ids=["memory", "length"],
)
def test_what_only_a_callers_words_make_too_much_of_is_the_callers(folder, does, told):
    added = "{% for part in message.content if part.type == 'text' and 'much' in part.text %}" + does + "{% endfor %}"
    whole = "{% for message in messages %}" + added + "{% endfor %}"
    prompts = with_template(folder, whole + CHAT_TEMPLATE)
    assert prompts.build(job([("user", [IMAGE, "a"])]))
    with pytest.raises(Refusal, match=f"^messages: .*{told}"):
        prompts.build(job([("user", [IMAGE, "much " * 1000])]))


def test_a_template_that_fails_only_where_words_are_looked_at_alone_refuses_too(folder):
    """The same conversation is rendered without its words, to tell whose control tokens are."""
    fails = "{% for m in messages if m.content[-1].text == 'x' %}{{ raise_exception('no x') }}{% endfor %}"
    with pytest.raises(Refusal, match=r"^messages: do not fit the model's chat template: no x"):
        with_template(folder, fails + CHAT_TEMPLATE).build(job([("user", [IMAGE, "a"])]))
