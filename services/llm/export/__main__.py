"""``python -m services.llm.export MODEL FOLDER``: a checkpoint's language model, for engines that load that."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from services.common import logs
from services.common.checkpoint import Checkpoint
from services.common.settings import BUNDLED_MODEL, SettingError
from services.common.shown import assigned


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m services.llm.export",
        description="Write the language model of a vision-language checkpoint to a folder of its own, as the plain "
        "causal language model that vLLM and others load: config, weights, tokenizer, chat template.",
    )
    parser.add_argument("model", metavar="MODEL", help="checkpoint, hub id or folder; 'bundled' is the bundled one")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="to write; it must not be there yet")
    parser.add_argument("--revision", default="", help="branch, tag or commit, where MODEL is a hub id")
    parser.add_argument(
        "--chat-template",
        default="",
        help="as HEROSERVE_CHAT_TEMPLATE has it, where services beside vLLM are given one",
    )
    options = parser.parse_args()
    logs.settle()
    logs.configure("INFO", "auto", "")
    try:
        write(options.model, options.folder, options.revision, options.chat_template)
    except SettingError as error:
        sys.exit(f"heroserve: {error}")
    logging.getLogger("services.llm.export").info("the language model is in %s", options.folder)


def write(model: str, folder: Path, revision: str = "", chat_template: str = "") -> None:
    """What the command does, its arguments given.

    Raises:
        SettingError: one can't be used; it is called as the command calls it.
    """
    if folder.exists():
        raise SettingError(f"{assigned('FOLDER', str(folder))}: it is there already; name a folder that is not")
    name = BUNDLED_MODEL if model == "bundled" else model
    source = Checkpoint(name, "MODEL", revision, revision_variable="--revision", template_variable="--chat-template")
    source.look()
    # Not above: they take seconds, and what is no model is told before.
    from services.families.registry import language_half
    from services.llm.export.config import check_exportable
    from services.llm.export.folder import export
    from services.llm.language_model import check_language_model

    half = language_half(source)
    check_language_model(half.config, source)
    check_exportable(half.config, source)
    export(half, source, folder, "FOLDER", chat_template)


if __name__ == "__main__":
    main()
