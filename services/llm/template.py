"""Which chat template a model is asked with, found as transformers finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import ProcessorMixin

from services.common.checkpoint import Checkpoint
from services.common.model_config import ODD
from services.common.settings import SettingError
from services.common.shown import assigned, first_line
from services.common.small_files import template_problem


def chat_template(source: Checkpoint, tokenizer: Any, chosen: str = "") -> str:
    """The text of a template in Jinja.

    Args:
        source: the checkpoint.
        tokenizer: its tokenizer, whose template is the last resort: a vision model's processor has one of its own.
        chosen: goes before both: a template, a file that holds one, or the name of one of the checkpoint's.

    Raises:
        SettingError: there is none.
    """
    if "{" in chosen:
        return chosen
    own = _templates(source, tokenizer)
    name = chosen.strip()
    if not name or name in own:
        return _named(source, own, name)
    return _from_file(source, chosen, name)


def told(source: Checkpoint, chosen: str) -> str:
    """The setting as errors name it: of a file the path, never what is in it, which may be a secret."""
    variable = source.template_variable
    return variable if "{" in chosen else assigned(variable, chosen)


def _from_file(source: Checkpoint, chosen: str, name: str) -> str:
    try:
        # A home that nobody has is a RuntimeError.
        path = Path(name).expanduser()
        problem = template_problem(path)
        text = "" if problem else path.read_text(encoding="utf-8")
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingError(f"{told(source, chosen)}: no template, and no file with one ({reason})") from error
    if not text.strip():
        problem = problem or "is empty"
    elif "{" not in text:
        problem = "is no chat template: that is Jinja, with {{ ... }} or {% ... %}, of which it has none"
    if problem:
        raise SettingError(f"{told(source, chosen)}: it {problem}")
    return text


def _named(source: Checkpoint, own: dict[str, str], name: str) -> str:
    if not own:
        raise source.unusable(
            f"it has no chat template; set {source.template_variable} to one, or to a file that holds one"
        )
    text = own.get(name or "default")
    if text is None:
        raise source.unusable(
            f"none of its chat templates is called 'default'; set {source.template_variable} to one of "
            f"{', '.join(sorted(own))}"
        )
    return text


def _templates(source: Checkpoint, tokenizer: Any) -> dict[str, str]:
    """The processor's templates, else the tokenizer's, by name; empty if there is none."""
    folder = str(source.folder)
    try:
        processor, _ = ProcessorMixin.get_processor_dict(folder)
    except ODD as error:
        raise source.unusable(f"its chat template can't be read ({first_line(error)})") from error
    found = processor.get("chat_template") or tokenizer.chat_template
    match found:
        case None | "":
            return {}
        case str():
            return {"default": found}
        case dict():
            return _texts(source, list(found.items()))
        case [*entries] if all(isinstance(entry, dict) and {"name", "template"} <= entry.keys() for entry in entries):
            return _texts(source, [(entry["name"], entry["template"]) for entry in entries])
    raise source.unusable(f"its chat_template is a {type(found).__name__}; expected text, or texts by name")


def _texts(source: Checkpoint, entries: list[tuple[Any, Any]]) -> dict[str, str]:
    """Those that are there: null and "" are none."""
    for name, template in entries:
        for each in (name, template):
            if not isinstance(each, str | None):
                raise source.unusable(f"its chat_template {name!r} has a {type(each).__name__}; expected texts by name")
    return {name: template for name, template in entries if name and template}
