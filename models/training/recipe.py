"""The recipe: its steps in order, each from the states that the earlier ones left."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from scripts.redis_server import free_port
from services.common.device import pick_device

from .answers import train_alignment, train_answers, train_together
from .clip import DenseHeads, train_clip
from .corpus import build_vocabulary
from .export import export
from .family import Family
from .internvl import INTERNVL
from .language import Reader, train_language
from .llava_next import LLAVA_NEXT
from .parallel import rank, spawn
from .run import Run
from .warm import begin_with

FAMILIES = {"llava_next": LLAVA_NEXT, "internvl": INTERNVL}
_STEPS = tuple(LLAVA_NEXT.steps)
# They need nothing of each other.
_BEGINNINGS = ("clip", "language")
# Of a checkpoint to begin with.
_FILES = ("config.json", "clip/config.json")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's options; each of the recipe's steps has one, its number of optimizer steps."""
    parser = argparse.ArgumentParser(
        description="Train the reference model. Every step resumes where it stopped; a finished one is not repeated."
    )
    parser.add_argument("folder", type=Path, help="states and logs")
    parser.add_argument("--family", default="llava_next", choices=FAMILIES, help="of the model (llava_next)")
    parser.add_argument("--checkpoint", type=Path, help="where the finished model goes")
    parser.add_argument("--begin-with", type=Path, help="a checkpoint of this recipe to begin with, not with chance")
    parser.add_argument("--only", choices=_STEPS, help="one step; clip and language may run side by side")
    for step in _STEPS:
        counts = ", ".join(f"{name} {family.steps[step]}" for name, family in FAMILIES.items())
        parser.add_argument(f"--{step}", type=int, metavar="N", help=f"optimizer steps ({counts})")
    parser.add_argument(
        "--lists", type=int, metavar="N", help="of language's, how many on lists (1100, or none where it is begun with)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread, for CPUs (1, of all cores)")
    options = parser.parse_args(arguments)
    family = FAMILIES[options.family]
    counted = {step: getattr(options, step) for step in _STEPS} | {"lists": options.lists}
    for name, count in counted.items():
        if count is not None and count < 0:
            parser.error(f"--{name}: is {count}; it must be 0 or more")
    if options.workers < 1:
        parser.error(f"--workers: is {options.workers}; it must be 1 or more")
    if options.begin_with and not all((options.begin_with / file).is_file() for file in _FILES):
        parser.error(f"--begin-with: {options.begin_with} is no checkpoint; name a folder with {' and '.join(_FILES)}")
    if options.folder.exists() and not options.folder.is_dir():
        parser.error(f"FOLDER: {options.folder} is no folder")
    if family.begins and not options.begin_with:
        parser.error(f"--begin-with: --family {options.family} takes the CLIP that tells relevance from a checkpoint")
    for step in _STEPS:
        if getattr(options, step) is None:
            setattr(options, step, family.steps[step])
    if options.lists is None:
        options.lists = 0 if family.begins else 1100
    return options


def train(options: argparse.Namespace) -> None:
    """Each step from its own file, on the states that the earlier ones left in the folder.

    Raises:
        SystemExit: a step is asked for whose predecessors are not finished.
    """
    folder, seed, family = options.folder, options.seed, FAMILIES[options.family]
    torch.manual_seed(seed)
    device = pick_device("auto")
    words, captions = _tokenizers(folder, family)
    clip, heads = family.build_clip(captions).to(device), DenseHeads(family.width).to(device)
    reader = Reader(family, words).to(device)
    projector = family.build_projector().to(device)
    if options.begin_with:
        begin_with(options.begin_with, clip, reader, projector, captions)
    steps: dict[str, tuple[dict[str, torch.nn.Module], Callable[[int], None]]] = {
        "clip": ({"clip": clip, "heads": heads}, lambda n: train_clip(folder, family, clip, heads, captions, n)),
        "language": (
            {"reader": reader},
            lambda n: train_language(folder, family, reader, min(options.lists, n), max(0, n - options.lists), seed),
        ),
        "alignment": (
            {"projector": projector},
            lambda n: train_alignment(folder, family, clip, reader, projector, n, seed),
        ),
        "answers": (
            {"reader": reader, "projector": projector},
            lambda n: train_answers(folder, family, clip, reader, projector, n, seed),
        ),
        "together": (
            {"clip": clip, "heads": heads, "reader": reader, "projector": projector},
            lambda n: train_together(folder, family, clip, heads, reader, projector, captions, n, seed),
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
        export(options.checkpoint, family, clip, reader, projector, captions, about, options.begin_with)


def _tokenizers(folder: Path, family: Family) -> list[PreTrainedTokenizerFast]:
    """The language model's and the captions', those the run began with: its states hold rows for those vocabularies."""
    made = {
        "tokenizer": partial(build_vocabulary, "", family.specials, family.named),
        "captions": partial(build_vocabulary, " </s>"),
    }
    for name, build in made.items():
        if not (folder / name).exists():
            build().save_pretrained(folder / name)
    return [PreTrainedTokenizerFast.from_pretrained(folder / name) for name in made]


def main() -> None:
    options = parse()
    # Made before there are several who would make it.
    _tokenizers(options.folder, FAMILIES[options.family])
    if options.workers > 1:
        spawn(options.workers, free_port(), train, options)
    else:
        train(options)
