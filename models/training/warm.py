"""Begin with a finished checkpoint of the recipe in place of chance: what the world has got since is learnt on top."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, CLIPModel, LlavaNextForConditionalGeneration, PreTrainedTokenizerFast

from .answers import Projector
from .language import Reader


def begin_with(
    folder: Path, clip: CLIPModel, reader: Reader, projector: Projector, captions: PreTrainedTokenizerFast
) -> None:
    """Copy a checkpoint's weights. A word that its tokenizer does not have stays as it is: by chance.

    Args:
        folder: the checkpoint, with its CLIP in ``clip``.
        captions: CLIP's tokenizer now.

    Raises:
        RuntimeError: a size differs.
    """
    old = LlavaNextForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    words = _shared(reader.tokenizer, folder)
    state = {f"model.{name}": value for name, value in old.model.language_model.state_dict().items()}
    _copy(reader.language, state | {"lm_head.weight": old.lm_head.weight}, words)
    projector.load_state_dict(old.model.multi_modal_projector.state_dict())
    with torch.no_grad():
        reader.newline.copy_(old.model.image_newline)
    _copy(clip, CLIPModel.from_pretrained(folder / "clip").state_dict(), _shared(captions, folder / "clip"))


def _shared(tokenizer: PreTrainedTokenizerFast, folder: Path) -> list[tuple[int, int]]:
    """Ids of the words that both have: here, and there."""
    there = AutoTokenizer.from_pretrained(folder).get_vocab()
    return [(here, there[word]) for word, here in tokenizer.get_vocab().items() if word in there]


@torch.no_grad()
def _copy(module: torch.nn.Module, state: dict[str, torch.Tensor], words: list[tuple[int, int]]) -> None:
    own = module.state_dict()
    here, there = (torch.tensor(ids) for ids in zip(*words, strict=True))
    for name, value in state.items():
        if "embed_tokens" in name or "lm_head" in name or "token_embedding" in name:
            own[name][here] = value[there].to(own[name])
            state = state | {name: own[name]}
    module.load_state_dict(state)
