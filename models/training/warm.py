"""Begin with a finished checkpoint of the recipe in place of chance: what the world has got since is learnt on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer, CLIPModel, PreTrainedTokenizerFast

from .language import Reader

# Of a CLIP, what reads captions.
_CAPTIONS = ("text_model.", "text_projection.", "logit_scale")


def begin_with(
    folder: Path, clip: torch.nn.Module, reader: Reader, projector: torch.nn.Module, captions: PreTrainedTokenizerFast
) -> None:
    """Copy a checkpoint's weights. A word that its tokenizer does not have stays as it is: by chance.

    Of another family's checkpoint come the language model, as far as this one has the same, and what reads captions.

    Args:
        folder: the checkpoint, with its CLIP in ``clip``.
        captions: CLIP's tokenizer now.

    Raises:
        RuntimeError: a size differs.
    """
    old = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    words = _shared(reader.tokenizer, folder)
    state = {f"model.{name}": value for name, value in old.model.language_model.state_dict().items()}
    _copy(reader.language, state | {"lm_head.weight": old.lm_head.weight}, words)
    text = CLIPModel.from_pretrained(folder / "clip").state_dict()
    spoken = _shared(captions, folder / "clip")
    if not _same(projector, old.model.multi_modal_projector):
        _copy(clip, {name: value for name, value in text.items() if name.startswith(_CAPTIONS)}, spoken)
        return
    projector.load_state_dict(old.model.multi_modal_projector.state_dict())
    tower = {f"vision_model.{name}": value for name, value in old.model.vision_tower.state_dict().items()}
    _copy(clip, {name: value for name, value in text.items() if name in clip.state_dict()} | tower, spoken)
    if hasattr(old.model, "image_newline"):
        with torch.no_grad():
            reader.newline.copy_(old.model.image_newline)


def _same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """In what they are made of: then the checkpoint is of this family."""
    shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in (one, other)]
    return shapes[0] == shapes[1]


def _shared(tokenizer: PreTrainedTokenizerFast, folder: Path) -> list[tuple[int, int]]:
    """Ids of the words that both have: here, and there."""
    there = AutoTokenizer.from_pretrained(folder).get_vocab()
    return [(here, there[word]) for word, here in tokenizer.get_vocab().items() if word in there]


@torch.no_grad()
def _copy(module: torch.nn.Module, state: dict[str, Any], words: list[tuple[int, int]]) -> None:
    """What ``state`` does not have stays as it is; what the module does not have is an error."""
    own = module.state_dict()
    here, there = (torch.tensor(ids) for ids in zip(*words, strict=True))
    for name, value in state.items():
        if name in own and ("embed_tokens" in name or "lm_head" in name or "token_embedding" in name):
            own[name][here] = value[there].to(own[name])
            state = state | {name: own[name]}
    module.load_state_dict(own | state)
