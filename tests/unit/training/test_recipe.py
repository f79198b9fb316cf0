"""The recipe: packed questions are alone, no token is dropped, steps resume, and the result loads where 7B would."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel, LlavaNextForConditionalGeneration

from models.training.answers import Projector, features_of, sample_scenes
from models.training.clip import build_clip
from models.training.conversation import pack, tokenize
from models.training.corpus import build_vocabulary
from models.training.language import Reader
from models.training.recipe import parse, train
from models.training.warm import begin_with
from models.world.render import render
from models.world.scene import sample_scene
from models.world.tiles import cut_scene, scene_grid
from services.common.settings import BUNDLED_MODEL
from tests.reference import Reference
from tests.support.llm_parts import Language

STEPS = ["--clip", "2", "--language", "2", "--lists", "1", "--alignment", "1", "--answers", "1", "--together", "1"]


@pytest.fixture(scope="module")
def reader() -> Reader:
    torch.manual_seed(0)
    return Reader(build_vocabulary("")).eval()


@torch.no_grad()
def test_packed_questions_answer_as_if_asked_alone(reader: Reader) -> None:
    """Neither the other questions of the pack nor its padding change a loss."""
    scenes = sample_scenes(np.random.default_rng(3), 3)
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
def test_training_shows_what_serving_shows(trained: Path) -> None:
    """Same prompt, same visual tokens, same order, none left out: the logits are Hugging Face's on the checkpoint."""
    reference = Reference(str(trained))
    scene = sample_scene("train", 11)
    scenes = sample_scenes(np.random.default_rng(0), 1)
    question = scenes.questions[0][0]
    clip = build_clip(build_vocabulary(" </s>"))
    reader, projector = Reader(build_vocabulary("")), Projector(128, 128)
    state = torch.load(trained.parent / "run" / "together.pt", weights_only=True)["modules"]
    for name, module in (("clip", clip), ("reader", reader), ("projector", projector)):
        module.load_state_dict(state[name])
        module.eval()
    inputs = reference.inputs(Image.fromarray(render(scene)), question.text)
    expected = reference.model(**inputs).logits[0, -1]
    grid = scene_grid(scene)
    features = features_of(clip, torch.from_numpy(cut_scene(scene, grid)))
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few steps: ``make train`` in small."""
    folder = tmp_path_factory.mktemp("training")
    train(parse([str(folder / "run"), "--checkpoint", str(folder / "model"), *STEPS]))
    return folder / "model"


def test_the_result_says_that_it_is_trained_and_its_size_is_kept(trained: Path) -> None:
    assert Language(trained).splicer.feature_width == 128
    assert sum(file.stat().st_size for file in trained.rglob("*") if file.is_file()) < 40e6


def test_a_finished_run_is_not_repeated_and_an_unfinished_one_goes_on(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained.parent / "run"
    train(parse([str(run), *STEPS]))
    assert "step" not in capsys.readouterr().out
    train(parse([str(run), *STEPS[:-1], "2"]))
    assert capsys.readouterr().out.startswith("together step 2 of 2")


def test_a_step_without_its_predecessor_says_which(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="clip"):
        train(parse([str(tmp_path), "--only", "answers", *STEPS]))


@torch.no_grad()
def test_a_run_may_begin_with_a_checkpoint_whose_words_are_fewer(reader: Reader) -> None:
    """The bundled model's weights, its words' rows in their new places; words that it never had stay as they were."""
    clip, projector = build_clip(build_vocabulary(" </s>")), Projector(128, 128)
    mine = Reader(reader.tokenizer)
    before = mine.embedding.weight.clone()
    bundled = LlavaNextForConditionalGeneration.from_pretrained(BUNDLED_MODEL)
    old, new = AutoTokenizer.from_pretrained(BUNDLED_MODEL).get_vocab(), reader.tokenizer.get_vocab()
    begin_with(Path(BUNDLED_MODEL), clip, mine, projector, build_vocabulary(" </s>"))
    table = bundled.model.language_model.embed_tokens.weight
    for word, at in new.items():
        expected = table[old[word]] if word in old else before[at]
        assert torch.equal(mine.embedding.weight[at], expected), word
    assert torch.equal(mine.newline, bundled.model.image_newline)
    assert torch.equal(mine.language.lm_head.weight[new["Ġred"]], bundled.lm_head.weight[old["Ġred"]])
    pixels = torch.zeros(1, 3, 112, 112, dtype=torch.uint8)
    tower = CLIPModel.from_pretrained(f"{BUNDLED_MODEL}/clip")
    torch.testing.assert_close(features_of(clip, pixels), features_of(tower, pixels))
