"""The recipe: its steps in order, each from the states that the earlier ones left."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from scripts.redis_server import free_port
from services.common.device import pick_device

from .answers import Projector, train_alignment, train_answers, train_together
from .clip import DenseHeads, build_clip, train_clip
from .corpus import build_vocabulary
from .export import export
from .language import Reader, train_language
from .parallel import rank, spawn
from .run import Run
from .warm import begin_with

_STEPS = {"clip": 2600, "language": 1500, "alignment": 600, "answers": 1100, "together": 240}
# They need nothing of each other.
_BEGINNINGS = ("clip", "language")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's options; each of the recipe's steps has one, its number of optimizer steps."""
    parser = argparse.ArgumentParser(
        description="Train the reference model. Every step resumes where it stopped; a finished one is not repeated."
    )
    parser.add_argument("folder", type=Path, help="states and logs")
    parser.add_argument("--checkpoint", type=Path, help="where the finished model goes")
    parser.add_argument("--begin-with", type=Path, help="a checkpoint of this recipe to begin with, not with chance")
    parser.add_argument("--only", choices=_STEPS, help="one step; clip and language may run side by side")
    for step, count in _STEPS.items():
        parser.add_argument(f"--{step}", type=int, default=count, metavar="N", help=f"optimizer steps ({count})")
    parser.add_argument("--lists", type=int, default=1100, metavar="N", help="of language's, how many on lists (1100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread, for CPUs (1, of all cores)")
    return parser.parse_args(arguments)


def train(options: argparse.Namespace) -> None:
    """Each step from its own file, on the states that the earlier ones left in the folder.

    Raises:
        SystemExit: a step is asked for whose predecessors are not finished.
    """
    folder, seed = options.folder, options.seed
    torch.manual_seed(seed)
    device = pick_device("auto")
    words, captions = _tokenizer(folder / "tokenizer", ""), _tokenizer(folder / "captions", " </s>")
    clip, heads = build_clip(captions).to(device), DenseHeads(128).to(device)
    reader = Reader(words).to(device)
    projector = Projector(128, 128).to(device)
    if options.begin_with:
        begin_with(options.begin_with, clip, reader, projector, captions)
    steps: dict[str, tuple[dict[str, torch.nn.Module], Callable[[int], None]]] = {
        "clip": ({"clip": clip, "heads": heads}, lambda n: train_clip(folder, clip, heads, captions, n)),
        "language": (
            {"reader": reader},
            lambda n: train_language(folder, reader, min(options.lists, n), max(0, n - options.lists), seed),
        ),
        "alignment": ({"projector": projector}, lambda n: train_alignment(folder, clip, reader, projector, n, seed)),
        "answers": (
            {"reader": reader, "projector": projector},
            lambda n: train_answers(folder, clip, reader, projector, n, seed),
        ),
        "together": (
            {"clip": clip, "heads": heads, "reader": reader, "projector": projector},
            lambda n: train_together(folder, clip, heads, reader, projector, captions, n, seed),
        ),
    }
    for name, (modules, run) in steps.items():
        count = getattr(options, name)
        if options.only in _BEGINNINGS and name != options.only:
            continue
        if options.only in (None, name):
            run(count)
        if options.only == name:
            return
        # What a finished step left is what the next one starts from.
        try:
            Run(folder, name, count, modules).load()
        except (FileNotFoundError, ValueError) as error:
            raise SystemExit(f"--only {options.only}: the step {name!r} before it is not finished ({error})") from error
    if options.checkpoint and rank() == 0:
        about = {"seed": seed, "steps": {name: getattr(options, name) for name in steps}}
        if options.begin_with:
            about["began_with"] = options.begin_with.name
        export(options.checkpoint, clip, reader, projector, captions, about)


def _tokenizer(folder: Path, suffix: str) -> PreTrainedTokenizerFast:
    """The one the run began with: its states hold rows for that vocabulary."""
    if not folder.exists():
        build_vocabulary(suffix).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def main() -> None:
    options = parse()
    # Made before there are several who would make it.
    _tokenizer(options.folder / "tokenizer", ""), _tokenizer(options.folder / "captions", " </s>")
    if options.workers > 1:
        spawn(options.workers, free_port(), train, options)
    else:
        train(options)
