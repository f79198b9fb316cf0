"""The names that published LLaVA-NeXTs have: every reader knows them, Hugging Face's own and vLLM's among them.

    python -m models.hub_names FOLDER

transformers 5 leaves a level out of a vision tower's names, and so writes what others look for in vain.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

_OURS, _THEIRS = "vision_tower.", "vision_tower.vision_model."


def hub_name(name: str) -> str:
    """Of a tensor, whether or not it has it already."""
    if name.startswith(_OURS) and not name.startswith(_THEIRS):
        return _THEIRS + name.removeprefix(_OURS)
    return name


def name_as_hub(folder: Path) -> None:
    """Rename the tensors of ``folder``'s model.safetensors; their values stay what they are, to the last bit."""
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as stored:
        about = stored.metadata()
        tensors = {hub_name(name): stored.get_tensor(name).clone() for name in stored.keys()}  # noqa: SIM118 - no dict
    mode = path.stat().st_mode
    save_file(tensors, path, about)
    # A new file is its owner's alone.
    path.chmod(mode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    name_as_hub(parser.parse_args().folder)


if __name__ == "__main__":
    main()
