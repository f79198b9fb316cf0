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

from benchmarks.in_process import InProcessEncoder as InProcessEncoder
from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from heroserve.v1.chat_pb2 import Sampling as SamplingMessage
from heroserve.v1.encoder_pb2 import Features, Tile, VisualTokens
from heroserve.v1.tokens_pb2 import Budget, Image, Savings
from services.encoder.response import grid_message
from services.families.family import Splice
from services.families.grid import Grid, Placement
from services.families.llava_next.splice import splice
from services.families.llava_next.tiles import AnyresTiler
from services.llm import parts
from services.llm.assemble import Prompt
from services.llm.doors import grpc as door
from services.llm.encoded import EncodedImage
from services.llm.encoder_client import encoded_image
from services.llm.engines.registry import open_engine
from services.llm.job import ChatJob, Sampling, check
from services.llm.refusal import Refusal
from services.llm.settings import LlmSettings

DTYPES = {
    torch.float32: Features.FLOAT32,
    torch.float16: Features.FLOAT16,
    torch.bfloat16: Features.BFLOAT16,
}
# (width, height): whole tiles, odd, panoramas both ways, smaller than a tile, one padded by an odd number of pixels.
SIZES = [
    (112, 112),
    (224, 224),
    (4, 100),
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
    return checked(asked(text, *images, **options), max_images=8)


def checked(request: GenerateRequest, max_images: int) -> ChatJob:
    """A request's job, or the refusal that its caller would read."""
    job = door.parse_request(request)
    try:
        check(job, max_images)
    except Refusal as refusal:
        raise door.WORDS.refused(refusal) from refusal
    return job


class Language:
    """What an LLM service loads of a checkpoint."""

    def __init__(self, folder: Path | str, **settings: Any) -> None:
        read = LlmSettings(model=str(folder), **settings)
        self.splicer = parts.open_splicer(read)
        self.engine = open_engine(read, parts.model(read))

    @property
    def table(self) -> Any:
        """Text's embeddings."""
        return self.engine.model.get_input_embeddings()

    @torch.inference_mode()
    def embed(self, prompt: Prompt) -> torch.Tensor:
        """[L, D], what the model reads."""
        return prompt.embed(self.table, self.splicer.device)


@dataclass(frozen=True)
class Seen:
    """An image as Hugging Face sees it.

    Args:
        inputs: of the processor, without text.
        grid, placement: how it is cut, and where it then lies.
        features: [T, N, H], the tower's, before the projector.
        full: [L, D], the packed sequence that the language model would read.
        ids: int64 [L], for each of that sequence ``tile * N + patch``, or -1 for a newline.
    """

    inputs: Any
    grid: Grid
    placement: Placement
    features: torch.Tensor
    full: torch.Tensor
    ids: np.ndarray

    def keep_all(self) -> np.ndarray:
        return self.grid.valid()

    def keep_some(self, seed: int, share: float = 0.3) -> np.ndarray:
        return self.grid.valid() & (np.random.default_rng(seed).random(self.grid.valid().shape) < share)

    def survivors(self, keep: np.ndarray, newlines: str) -> np.ndarray:
        """Indices into the full sequence of what is left of it."""
        kept = np.zeros(len(self.ids), bool)
        row_has_token = False
        for index, token in enumerate(self.ids):
            if token >= 0:
                kept[index] = keep.flat[token]
                # The thumbnail is no row of the grid.
                row_has_token |= bool(kept[index]) and token >= self.grid.tile_tokens
            else:
                # A row without columns has lost nothing.
                kept[index] = newlines == "every_row" or row_has_token or self.grid.left == self.grid.right
                row_has_token = False
        return np.flatnonzero(kept)

    def tokens(self, keep: np.ndarray, dtype: torch.dtype = torch.float32) -> VisualTokens:
        """The encoder's answer that keeps these patches, bool [T, N]."""
        valid = self.grid.valid()
        rows = self.features[torch.from_numpy(keep)].to(dtype).contiguous()
        return VisualTokens(
            grid=grid_message(self.grid, self.placement),
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

    def encoded(self, keep: np.ndarray, dtype: torch.dtype = torch.float32) -> EncodedImage:
        """The same as it comes off the wire."""
        return encoded_image(self.tokens(keep, dtype))

    def spliced(self, keep: np.ndarray, newlines: str = "every_row") -> tuple[torch.Tensor, Splice]:
        image = self.encoded(keep)
        return image.features, splice(image.grid, image.kept, newlines)


@torch.inference_mode()
def see(hf: Any, processor: Any, image: Pillow.Image) -> Seen:
    inputs = processor.image_processor(images=[image], return_tensors="pt")
    tiler = AnyresTiler(112, 14, tuple(map(tuple, hf.config.image_grid_pinpoints)), 3)
    grid = tiler.grid(*image.size)
    hidden = hf.model.vision_tower(inputs.pixel_values[0], output_hidden_states=True).hidden_states
    features = hidden[hf.config.vision_feature_layer][:, 1:]
    full = hf.model.get_image_features(inputs.pixel_values, inputs.image_sizes).pooler_output[0]
    # Hugging Face's own packing, over numbers in place of features.
    numbers = torch.arange(features.shape[0] * features.shape[1]).float().view(*features.shape[:2], 1)
    packed, _ = hf.model.pack_image_features(
        [numbers], inputs.image_sizes, "default", image_newline=torch.tensor([-1.0])
    )
    return Seen(inputs, grid, tiler.place(grid), features, full, packed[0][:, 0].long().numpy())


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
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    else:
        index = {name: shards(name) for name in tensors}
        for file in set(index.values()):
            shard = {name: tensor for name, tensor in tensors.items() if index[name] == file}
            save_file(shard, folder / file, {"format": "pt"})
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    for file in absent:
        (folder / file).unlink()


async def collect(tokens: Any) -> list[Any]:
    return [token async for token in tokens]


GREEDY = Sampling()
