"""The language model, and its first lessons: scenes as lists, then as perfect patches. No picture is seen yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from models.world.labels import label_tiles
from models.world.page import Page, sample_page
from models.world.page_questions import PAGE_KINDS, ask_page
from models.world.questions import KINDS, Question, ask
from models.world.scene import Scene, sample_scene
from models.world.tiles import scene_grid
from services.families.grid import Grid

from .conversation import IGNORE, Packed, pack, prompt_prefix, tokenize
from .family import Family
from .optimizer import Optimizer
from .parallel import rank, share
from .run import Report, Run
from .sizes import WIDTH
from .symbols import SymbolTable, list_symbols, patch_symbols

# How often each kind is asked: those that need more than one look, more often.
_SHARE = {"character": 0.12, "color": 0.2, "shape": 0.2, "exists": 0.14, "count": 0.17, "pair": 0.17}
QUESTIONS = 12
# Of the pictures shown, pages.
_PAGES = 0.3
# Of the embeddings' own deviation, a fifth: features will not be perfect.
_NOISE = 0.02


class Reader(torch.nn.Module):
    """The language model with what stands between it and an image: the newline, and the words around."""

    def __init__(self, family: Family, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.language = family.build_language_model(tokenizer)
        torch.nn.init.normal_(self.language.model.embed_tokens.weight, std=0.1)
        # Of a family without, nothing ever reads it.
        self.newline = torch.nn.Parameter(torch.randn(WIDTH) * 0.1)
        self.tokenizer = tokenizer
        self._splice = family.splice
        self._before, self._after = prompt_prefix(tokenizer, family.before, family.behind)

    @property
    def embedding(self) -> torch.nn.Embedding:
        embedding: torch.nn.Embedding = self.language.model.embed_tokens
        return embedding

    def flatten(self, tokens: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Tiles' tokens [T, N, D] in the family's order, without padding, newlines where it has them: [n, D]."""
        valid = grid.valid()
        order = self._splice(grid, [np.flatnonzero(tile) for tile in valid], "every_row").source
        # A newline's index is that of the last row.
        rows = torch.cat([tokens[torch.from_numpy(valid).to(tokens.device)], self.newline[None]])
        return rows[torch.from_numpy(order).to(tokens.device)]

    def prefix(self, image: torch.Tensor) -> torch.Tensor:
        """All up to the question, from an image's tokens [n, D]."""
        before, after = (self.embedding(torch.tensor(ids, device=image.device)) for ids in (self._before, self._after))
        return torch.cat([before, image, after])

    def loss(
        self, images: Sequence[torch.Tensor], questions: Sequence[Sequence[Question]]
    ) -> tuple[torch.Tensor, Report]:
        """Cross entropy of the answers; the report says how many answers of each kind are right in every token."""
        packed = pack(
            [self.prefix(image) for image in images],
            [tokenize(each, self.tokenizer) for each in questions],
            self.embedding,
        )
        hidden = self.language.model(
            inputs_embeds=packed.embeddings, attention_mask=packed.mask, position_ids=packed.positions
        ).last_hidden_state
        asked = packed.targets != IGNORE
        logits = self.language.lm_head(hidden[asked])
        loss = functional.cross_entropy(logits, packed.targets[asked])
        return loss, _accuracy(logits.argmax(-1) == packed.targets[asked], packed, asked, questions)


def sample_picture(index: int) -> Scene | Page:
    """A scene or a page to train on."""
    paged = np.random.default_rng((55, index)).random() < _PAGES
    return sample_page("train", index) if paged else sample_scene("train", index)


def draw_questions(scene: Scene | Page, rng: np.random.Generator, count: int = QUESTIONS) -> list[Question]:
    """Training questions, kinds by their share; a page's alike."""
    if isinstance(scene, Page):
        return [ask_page(PAGE_KINDS[at % len(PAGE_KINDS)], scene, rng) for at in range(count)]
    questions: list[Question] = []
    while len(questions) < count:
        kind = KINDS[rng.choice(len(KINDS), p=[_SHARE[kind] for kind in KINDS])]
        question = ask(kind, scene, scene_grid(scene), rng)
        if question is not None:
            questions.append(question)
    return questions


def train_language(
    folder: Path, family: Family, reader: Reader, lists: int, symbols: int, seed: int, batch: int = 16
) -> None:
    """Lists first, for they are short; then perfect patches laid out as an image's are."""
    device = reader.newline.device
    table = SymbolTable(reader.tokenizer).to(device)
    run = Run(folder, "language", lists + symbols, {"reader": reader})

    def loss(step: int) -> tuple[torch.Tensor, Report]:
        rng = np.random.default_rng((88, seed, step, rank()))
        short = step < lists
        images, questions = [], []
        for index in rng.integers(0, 2**31, share(2 * batch if short else batch)):
            scene = sample_picture(int(index))
            grid = family.tiler.grid(scene.width, scene.height)
            questions.append(draw_questions(scene, rng, 6 if short else QUESTIONS))
            labels = None if short else label_tiles(scene, grid, family.tiler.place(grid))
            codes = list_symbols(scene, rng) if labels is None else patch_symbols(labels)
            tokens = table(torch.from_numpy(codes).to(device), reader.embedding)
            tokens = tokens + _NOISE * torch.randn_like(tokens)
            images.append(tokens if short else reader.flatten(tokens, grid))
        return reader.loss(images, questions)

    run.train(Optimizer([reader], muon=4e-3, adamw=2e-3), loss, every=25)


def _accuracy(
    right: torch.Tensor, packed: Packed, asked: torch.Tensor, questions: Sequence[Sequence[Question]]
) -> Report:
    row = torch.arange(len(asked), device=asked.device)[:, None].expand_as(asked)[asked]
    wrong = {(int(i), int(q)) for i, q in zip(row[~right], packed.owner[asked][~right], strict=True)}
    by_kind: dict[str, list[bool]] = {}
    for image, each in enumerate(questions):
        for number, question in enumerate(each):
            by_kind.setdefault(question.kind, []).append((image, number) not in wrong)
    return {kind: sum(found) / len(found) for kind, found in sorted(by_kind.items())}
