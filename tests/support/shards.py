"""Weights in several files."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file


def shard(folder: Path) -> list[str]:
    """A checkpoint's weights in a file a half, rest.safetensors and tower.safetensors; their names."""
    tensors = load_file(folder / "model.safetensors")
    weight_map = {name: f"{'tower' if 'vision_tower' in name else 'rest'}.safetensors" for name in tensors}
    for file in set(weight_map.values()):
        save_file({name: t for name, t in tensors.items() if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "model.safetensors").unlink()
    return sorted(set(weight_map.values()))
