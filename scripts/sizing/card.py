"""What both services take of one GPU's memory. Weights are counted, what stands behind `about` is reckoned."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.sizing.model import Model

GIB = 1 << 30
# Of a process that uses CUDA: its context, kernels and libraries.
_CUDA = GIB // 2
# torch's allocator keeps what it has had, in pieces that the next tensors don't fit.
_KEPT = 2
# Shares of a GPU are told in steps of so much.
_STEP = 20


@dataclass(frozen=True)
class Card:
    """One GPU that has both services.

    Args:
        model: that they serve.
        memory: of the GPU, in bytes.
        tiles: in one pass of the tower (HEROSERVE_MAX_BATCH_TILES).
        prompt_tokens: of the longest prompt.
        at_once: prompts that are read at the same time (HEROSERVE_ENGINE_THREADS).
    """

    model: Model
    memory: int
    tiles: int
    prompt_tokens: int
    at_once: int

    @property
    def encoder(self) -> dict[str, int]:
        """Bytes of each part."""
        model = self.model
        return {
            f"tower, {model.tower / 1e6:.0f} million values": model.tower * model.value_bytes,
            "CLIP ViT-B/32, for relevance": model.relevance * model.value_bytes,
            f"about: a pass of {self.tiles} tiles": _KEPT * self.tiles * model.pass_bytes,
            "about: CUDA": _CUDA,
        }

    @property
    def llm(self) -> dict[str, int]:
        """Bytes of each part but the KV cache."""
        model = self.model
        read = _KEPT * self.at_once * self.prompt_tokens * model.prompt_bytes
        return {
            f"language model, {model.language / 1e6:.0f} million values": model.language * model.value_bytes,
            "projector": model.projector * model.value_bytes,
            f"about: {self.at_once} prompts of {self.prompt_tokens} tokens that are read": read,
            "about: CUDA": _CUDA,
        }

    @property
    def left(self) -> int:
        """Bytes for KV caches; below 0 where it is too small."""
        return self.memory - sum(self.encoder.values()) - sum(self.llm.values())

    @property
    def shares(self) -> tuple[float, float]:
        """Of the encoder, rounded up, and of the LLM service: the rest."""
        encoder = -(-sum(self.encoder.values()) * _STEP // self.memory) / _STEP
        return encoder, round(1 - encoder, 2)
