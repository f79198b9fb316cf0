"""What the LLM service's tests are made of: images, conversations, edited checkpoints, the encoder in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file

from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from heroserve.v1.chat_pb2 import Sampling as SamplingMessage
from heroserve.v1.encoder_pb2 import EncodeRequest, Features, Grid, Tile, VisualTokens, Window
from heroserve.v1.tokens_pb2 import Budget, Image, Savings
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.image import ImageLimits
from services.encoder.pipeline import EncodePipeline
from services.encoder.ranking import rank_images
from services.encoder.request import parse_request as parse_encode_request
from services.encoder.settings import EncoderSettings
from services.encoder.tiling import TilePlan, Tiler
from services.encoder.tower import VisionTower
from services.llm.layout import ImageLayout, lay_out
from services.llm.request import ChatJob, ImagePart, Sampling, parse_request

DTYPES = {
    torch.float32: Features.FLOAT32,
    torch.float16: Features.FLOAT16,
    torch.bfloat16: Features.BFLOAT16,
}
# (width, height): whole tiles, odd, panoramas both ways, smaller than a tile, one padded by an odd number of pixels.
SIZES = [
    (112, 112),
    (224, 224),
    (40, 50),
    (91, 37),
    (333, 101),
    (97, 401),
    (640, 480),
    (449, 601),
    (1000, 90),
    (31, 500),
    (225, 223),
    (337, 113),
    (7, 5),
]


def picture(width: int, height: int) -> Pillow.Image:
    """Noise: no two patches alike."""
    noise = np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Pillow.fromarray(noise)


def png(image: Pillow.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def asked(text: str, *images: bytes, **options: Any) -> GenerateRequest:
    """A user's question behind images; ``retention`` or any field of Sampling."""
    budget = Budget()
    for name, field in (("retention", "retention"), ("max_visual_tokens", "max_visual_tokens")):
        if name in options:
            setattr(budget, field, options.pop(name))
    parts = [Part(image=Image(data=data)) for data in images]
    message = Message(role=Message.USER, parts=[*parts, Part(text=text)])
    return GenerateRequest(messages=[message], budget=budget, sampling=SamplingMessage(**options))


def job(text: str, *images: bytes, **options: Any) -> ChatJob:
    return parse_request(asked(text, *images, **options), max_images=8)


@dataclass(frozen=True)
class Seen:
    """An image as Hugging Face sees it.

    Args:
        inputs: of the processor, without text.
        plan: its geometry.
        features: [T, N, H], the tower's, before the projector.
        full: [L, D], the packed sequence that the language model would read.
        ids: int64 [L], for each of that sequence ``tile * N + patch``, or -1 for a newline.
    """

    inputs: Any
    plan: TilePlan
    features: torch.Tensor
    full: torch.Tensor
    ids: np.ndarray

    def keep_all(self) -> np.ndarray:
        return self.plan.valid()

    def keep_some(self, seed: int, share: float = 0.3) -> np.ndarray:
        return self.plan.valid() & (np.random.default_rng(seed).random(self.plan.valid().shape) < share)

    def survivors(self, keep: np.ndarray, newlines: str) -> np.ndarray:
        """Indices into the full sequence of what is left of it."""
        kept = np.zeros(len(self.ids), bool)
        row_has_token = False
        for index, token in enumerate(self.ids):
            if token >= 0:
                kept[index] = keep.flat[token]
                # The thumbnail is no row of the grid.
                row_has_token |= bool(kept[index]) and token >= self.plan.patches
            else:
                kept[index] = newlines == "every_row" or row_has_token
                row_has_token = False
        return np.flatnonzero(kept)

    def tokens(self, keep: np.ndarray, dtype: torch.dtype = torch.float32) -> VisualTokens:
        """The encoder's answer that keeps these patches, bool [T, N]."""
        plan, valid = self.plan, self.plan.valid()
        rows = self.features[torch.from_numpy(keep)].to(dtype).contiguous()
        return VisualTokens(
            grid=Grid(
                rows=plan.rows,
                cols=plan.cols,
                patches_per_side=plan.side,
                image_width=plan.width,
                image_height=plan.height,
                window=Window(top=plan.top, bottom=plan.bottom, left=plan.left, right=plan.right),
            ),
            tiles=[
                Tile(index=t, valid=int(valid[t].sum()), positions=np.flatnonzero(keep[t]).tolist())
                for t in range(len(keep))
            ],
            features=Features(
                dtype=DTYPES[dtype],
                rows=rows.shape[0],
                cols=rows.shape[1],
                data=rows.view(torch.uint8).numpy().tobytes(),
            ),
            savings=Savings(total=int(valid.sum()), kept=len(rows), dropped=int(valid.sum()) - len(rows)),
        )

    def laid_out(self, keep: np.ndarray, newlines: str = "every_row") -> tuple[VisualTokens, ImageLayout]:
        tokens = self.tokens(keep)
        return tokens, lay_out(tokens, newlines)


@torch.inference_mode()
def see(hf: Any, processor: Any, image: Pillow.Image) -> Seen:
    inputs = processor.image_processor(images=[image], return_tensors="pt")
    plan = Tiler(112, 14, tuple(map(tuple, hf.config.image_grid_pinpoints)), 3).plan(*image.size)
    hidden = hf.model.vision_tower(inputs.pixel_values[0], output_hidden_states=True).hidden_states
    features = hidden[hf.config.vision_feature_layer][:, 1:]
    full = hf.model.get_image_features(inputs.pixel_values, inputs.image_sizes).pooler_output[0]
    # Hugging Face's own packing, over numbers in place of features.
    numbers = torch.arange(features.shape[0] * features.shape[1]).float().view(*features.shape[:2], 1)
    packed, _ = hf.model.pack_image_features(
        [numbers], inputs.image_sizes, "default", image_newline=torch.tensor([-1.0])
    )
    return Seen(inputs, plan, features, full, packed[0][:, 0].long().numpy())


def edit(
    folder: Path,
    *,
    config: dict[str, Any] | None = None,
    text_config: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
    rename: Callable[[str], str | None] = lambda name: name,
    shards: Callable[[str], str] | None = None,
    absent: tuple[str, ...] = (),
) -> None:
    """Change a checkpoint.

    Args:
        folder: of the checkpoint.
        config, text_config: entries to set.
        generation: replaces generation_config.json; {} removes it.
        rename: new name of a tensor; None drops it.
        shards: file name of a tensor, for a sharded checkpoint with an index.
        absent: files to leave out at last.
    """
    settings = json.loads((folder / "config.json").read_text())
    settings |= config or {}
    settings["text_config"] |= text_config or {}
    (folder / "config.json").write_text(json.dumps(settings))
    if generation is not None:
        (folder / "generation_config.json").unlink()
        if generation:
            (folder / "generation_config.json").write_text(json.dumps(generation))
    stored = load_file(folder / "model.safetensors")
    tensors = {new: tensor for name, tensor in stored.items() if (new := rename(name)) is not None}
    (folder / "model.safetensors").unlink()
    if shards is None:
        save_file(tensors, folder / "model.safetensors")
    else:
        index = {name: shards(name) for name in tensors}
        for file in set(index.values()):
            save_file({name: t for name, t in tensors.items() if index[name] == file}, folder / file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    for file in absent:
        (folder / file).unlink()


class InProcessEncoder:
    """The encoder service without Ray and gRPC, with the face of the LLM service's client."""

    def __init__(self, model: str) -> None:
        settings = EncoderSettings(model=model, relevance_model="none")
        self._limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        tower = VisionTower(settings)

        async def rank(tiles: Any, mask: Any) -> Any:
            return rank_images(tower.encode(tiles), [mask], tower.hero)[0], {}

        from services.common.checkpoint import Checkpoint

        self._pipeline = EncodePipeline(
            encoder_id=tower.encoder_id,
            tiler=Tiler.of(Checkpoint(settings.model, "HEROSERVE_MODEL")),
            limits=self._limits,
            hero=tower.hero,
            cache=RankOnceCache(MemoryStore(1 << 28, 3600), tower.encoder_id),
            cache_depth=1.0,
            tower=rank,
            embedder=None,
        )
        self.calls: list[tuple[ImagePart, str, Budget]] = []

    async def encode(self, part: ImagePart, question: str, budget: Budget) -> VisualTokens:
        self.calls.append((part, question, budget))
        request = EncodeRequest(image=part.image, question=question, budget=budget)
        return await self._pipeline.encode(parse_encode_request(request, self._limits, 0.2))


async def collect(tokens: Any) -> list[Any]:
    return [token async for token in tokens]


GREEDY = Sampling()
