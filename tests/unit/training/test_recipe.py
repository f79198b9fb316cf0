"""The recipe: packed questions are alone, no token is dropped, steps resume, and the result loads where 7B would."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel, LlavaNextForConditionalGeneration

from models.training import answers, clip, language
from models.training.answers import sample_scenes
from models.training.conversation import pack, tokenize
from models.training.corpus import build_vocabulary
from models.training.family import Family
from models.training.language import Reader
from models.training.llava_next import LLAVA_NEXT
from models.training.recipe import FAMILIES, parse, train
from models.training.warm import begin_with
from models.world.render import render
from models.world.scene import sample_scene
from models.world.tiles import cut_scene
from services.common.checkpoint import Checkpoint
from services.common.settings import BUNDLED_MODEL
from services.families.registry import vision_half
from tests.reference import Reference
from tests.reference_internvl import InternVLReference
from tests.support.llm_parts import Language

STEPS = ["--clip", "2", "--language", "2", "--lists", "1", "--alignment", "1", "--answers", "1", "--together", "1"]


class Trained(NamedTuple):
    """A model of a few steps, and the folder of its states."""

    family: Family
    name: str
    model: Path
    run: Path

    def begin(self) -> list[str]:
        chosen = ["--family", self.name, *(["--begin-with", BUNDLED_MODEL] if self.family.begins else [])]
        return [str(self.run), *chosen]

    def modules(self) -> list[Any]:
        """Clip, reader and projector as the last step left them."""
        found = fresh(self.family)
        state = torch.load(self.run / "together.pt", weights_only=True)["modules"]
        for name, module in zip(("clip", "reader", "projector"), found, strict=True):
            module.load_state_dict(state[name])
            module.eval()
        return found


def fresh(family: Family) -> list[Any]:
    """Clip, reader and projector, by chance."""
    reader = Reader(family, build_vocabulary("", family.specials, family.named))
    return [family.build_clip(build_vocabulary(" </s>")), reader, family.build_projector()]


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    """Pictures a step: one or two in place of dozens."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (answers, clip, language):
            patch.setattr(module, "share", lambda batch: 1 + (batch > 8))
        yield


@pytest.fixture(scope="module", params=FAMILIES)
def trained(few: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """``make train`` in small."""
    folder = tmp_path_factory.mktemp("training")
    made = Trained(FAMILIES[request.param], request.param, folder / "model", folder / "run")
    train(parse([*made.begin(), "--checkpoint", str(made.model), *STEPS]))
    return made


@pytest.fixture(scope="module")
def reader() -> Reader:
    torch.manual_seed(0)
    return Reader(LLAVA_NEXT, build_vocabulary("")).eval()


@torch.no_grad()
def test_packed_questions_answer_as_if_asked_alone(reader: Reader) -> None:
    """Neither the other questions of the pack nor its padding change a loss."""
    scenes = sample_scenes(np.random.default_rng(3), 3, LLAVA_NEXT.tiler)
    sizes = [1 + grid.rows * grid.cols for grid in scenes.grids]
    images = [reader.flatten(torch.randn(size, 64, 128), grid) for size, grid in zip(sizes, scenes.grids, strict=True)]
    questions = [each[:4] for each in scenes.questions]
    packed = reader.loss(images, questions)[0]
    total, tokens = 0.0, 0
    for image, each in zip(images, questions, strict=True):
        for question in each:
            length = len(reader.tokenizer(question.answer, add_special_tokens=False).input_ids) + 1
            total += length * float(reader.loss([image], [[question]])[0])
            tokens += length
    assert float(packed) == pytest.approx(total / tokens, rel=1e-4)


@torch.no_grad()
def test_training_shows_what_serving_shows(trained: Trained) -> None:
    """Same prompt, same visual tokens, same order, none left out: the logits are Hugging Face's on the checkpoint."""
    family = trained.family
    scene = sample_scene("train", 11)
    question = sample_scenes(np.random.default_rng(0), 1, family.tiler).questions[0][0]
    tower, reader, projector = trained.modules()
    picture = Image.fromarray(render(scene))
    if trained.name == "internvl":
        reference: Any = InternVLReference(trained.model)
        inputs = reference.inputs([("user", [picture, question.text])])
    else:
        reference = Reference(str(trained.model))
        inputs = reference.inputs(picture, question.text)
    expected = reference.model(**inputs).logits[0, -1]
    grid = family.tiler.grid(scene.width, scene.height)
    features = family.see(tower, torch.from_numpy(cut_scene(scene, grid, tiler=family.tiler))).features
    packed = pack(
        [reader.prefix(reader.flatten(projector(features), grid))],
        [tokenize([question], reader.tokenizer)],
        reader.embedding,
    )
    first = int((packed.targets[0] >= 0).nonzero()[0])
    assert first + 1 == inputs.input_ids.shape[1]
    logits = reader.language(
        inputs_embeds=packed.embeddings, attention_mask=packed.mask, position_ids=packed.positions
    ).logits[0, first]
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-3)


def test_the_result_is_served_and_its_size_is_kept(trained: Trained) -> None:
    """It is cut as it was in training."""
    assert Language(trained.model).splicer.feature_width == trained.family.width
    assert vision_half(Checkpoint(str(trained.model), "HEROSERVE_MODEL")).tiler == trained.family.tiler
    assert CLIPModel.from_pretrained(trained.model / "clip").config.vision_config.image_size == 112
    assert sum(file.stat().st_size for file in trained.model.rglob("*") if file.is_file()) < 40e6


def test_a_finished_run_is_not_repeated_and_an_unfinished_one_goes_on(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    train(parse([*trained.begin(), *STEPS]))
    assert "step" not in capsys.readouterr().out
    train(parse([*trained.begin(), *STEPS[:-1], "2"]))
    assert capsys.readouterr().out.startswith("together step 2 of 2")


def test_a_step_without_its_predecessor_says_which(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="clip"):
        train(parse([str(tmp_path), "--only", "answers", *STEPS]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--begin-with", "/nope"],
            "--begin-with: /nope is no checkpoint; name a folder with config.json and ",
        ),
        (["--begin-with", "README.md"], "--begin-with: README.md is no checkpoint"),
        (["--workers", "-3"], "--workers: is -3; it must be 1 or more"),
        (["--workers", "0"], "--workers: is 0; "),
        (["--answers", "-1"], "--answers: is -1; it must be 0 or more"),
        (["--lists", "-1"], "--lists: is -1; "),
    ],
    ids=str,
)
def test_options_that_can_not_be_used_are_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    with pytest.raises(SystemExit):
        parse([str(tmp_path), *options])
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_family_that_can_not_begin_with_chance_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([str(tmp_path), "--family", "internvl"])
    assert "--begin-with: --family internvl takes the CLIP" in capsys.readouterr().err


@torch.no_grad()
def test_a_run_may_begin_with_a_checkpoint_whose_words_are_fewer() -> None:
    """The bundled model's weights, its words' rows in their new places; words that it never had stay as they were."""
    tower, mine, projector = fresh(LLAVA_NEXT)
    new = mine.tokenizer.get_vocab()
    before = mine.embedding.weight.clone()
    bundled = LlavaNextForConditionalGeneration.from_pretrained(BUNDLED_MODEL)
    old = AutoTokenizer.from_pretrained(BUNDLED_MODEL).get_vocab()
    begin_with(Path(BUNDLED_MODEL), tower, mine, projector, build_vocabulary(" </s>"))
    table = bundled.model.language_model.embed_tokens.weight
    for word, at in new.items():
        expected = table[old[word]] if word in old else before[at]
        assert torch.equal(mine.embedding.weight[at], expected), word
    assert torch.equal(mine.newline, bundled.model.image_newline)
    assert torch.equal(mine.language.lm_head.weight[new["Ġred"]], bundled.lm_head.weight[old["Ġred"]])
    pixels = torch.zeros(1, 3, 112, 112, dtype=torch.uint8)
    shipped = CLIPModel.from_pretrained(f"{BUNDLED_MODEL}/clip")
    torch.testing.assert_close(LLAVA_NEXT.see(tower, pixels).features, LLAVA_NEXT.see(shipped, pixels).features)


@torch.no_grad()
def test_another_family_may_begin_with_its_language_model() -> None:
    """A Qwen2 then reads as the Llama did; the tower and the projector are its own."""
    family = FAMILIES["internvl"]
    tower, reader, projector = fresh(family)
    before = {name: value.clone() for name, value in [*tower.named_parameters(), *projector.named_parameters()]}
    begin_with(Path(BUNDLED_MODEL), tower, reader, projector, build_vocabulary(" </s>"))
    bundled = LlavaNextForConditionalGeneration.from_pretrained(BUNDLED_MODEL)
    rows = torch.randn(1, 12, 128) * 0.3
    expected = bundled.model.language_model(inputs_embeds=rows).last_hidden_state
    torch.testing.assert_close(reader.language.model(inputs_embeds=rows).last_hidden_state, expected)
    changed = {
        name.split(".")[0]
        for name, value in [*tower.named_parameters(), *projector.named_parameters()]
        if not torch.equal(value, before[name])
    }
    assert changed == {"text_model", "text_projection", "logit_scale"}
