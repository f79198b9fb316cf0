"""Only the language half of a checkpoint is loaded, from every form a LLaVA-NeXT checkpoint comes in."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlavaNextForConditionalGeneration

from services.common.settings import SettingError
from services.common.weights.stored import StoredTensor
from services.llm import parts
from services.llm.settings import LlmSettings
from tests.support.llm_parts import Language, edit

VISION = "vision_tower"


load = Language


@pytest.fixture(scope="module")
def names(untrained) -> list[str]:
    """Of the tensors in the file."""
    return list(load_file(f"{untrained}/model.safetensors"))


def new_style(name: str) -> str:
    """``model.``-prefixed, the head outside: as transformers 5 names them in memory."""
    if name.startswith("language_model.lm_head."):
        return name.removeprefix("language_model.")
    if name.startswith("language_model.model."):
        return "model.language_model." + name.removeprefix("language_model.model.")
    if name.startswith(("model.", "lm_head.")):
        return name
    return "model." + name


def old_style(name: str) -> str:
    """The language model nested whole: as the published llava-hf checkpoints."""
    name = new_style(name)
    if name.startswith("lm_head."):
        return "language_model." + name
    if name.startswith("model.language_model."):
        return "language_model.model." + name.removeprefix("model.language_model.")
    return name.removeprefix("model.")


@torch.inference_mode()
def logits(language: Language) -> torch.Tensor:
    splicer = language.splicer
    embedded = torch.cat([language.table(torch.tensor([1, 5, 90])), splicer.newline[None]])
    visual = splicer.project(torch.linspace(-1, 1, 128).view(2, 64))
    return language.engine.model(inputs_embeds=torch.cat([embedded, visual])[None]).logits


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """The same weights: not bit for bit, because how tensors lie in memory decides how they are added up."""
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def held(language: Language) -> dict[str, torch.Tensor]:
    """Every weight that an LLM service holds, by a name of its own."""
    splicer = language.splicer
    return {
        **{f"engine.{name}": p for name, p in language.engine.model.named_parameters()},
        **{f"projector.{name}": p for name, p in splicer._projector._module.named_parameters()},
        "newline": splicer.newline,
    }


def test_no_vision_tower_is_in_memory(language, hf):
    parts = held(language)
    assert not [name for name in parts if "vision" in name]
    outside = sum(p.numel() for p in hf.model.vision_tower.parameters())
    assert sum(p.numel() for p in parts.values()) == sum(p.numel() for p in hf.parameters()) - outside
    splicer = language.splicer
    modules = [value for value in [*vars(language.engine).values(), *vars(splicer).values()] if is_module(value)]
    assert [id(value) for value in modules] == [id(language.engine.model)]
    assert [id(value) for value in vars(splicer._projector).values() if is_module(value)] == [
        id(splicer._projector._module)
    ]


def is_module(value: object) -> bool:
    return isinstance(value, torch.nn.Module)


def test_no_vision_tensor_is_even_read(untrained, monkeypatch):
    """Not read and thrown away: a 7B model's tower would double the time to start of a small service."""
    read = []
    read_one = StoredTensor.read

    def spy(tensor):
        read.append(read_one(tensor))
        return read[-1]

    monkeypatch.setattr(StoredTensor, "read", spy)
    assert sum(t.numel() for t in held(load(untrained)).values()) == sum(t.numel() for t in read)


def test_weights_are_hugging_faces(language, hf):
    splicer, model = language.splicer, language.engine.model
    with torch.inference_mode():
        ours = model(inputs_embeds=language.table(torch.tensor([[1, 5, 90, 91]]))).logits
        theirs = hf(input_ids=torch.tensor([[1, 5, 90, 91]])).logits
        rows = torch.randn(7, 64)
        projected = hf.model.multi_modal_projector(rows)
        torch.testing.assert_close(splicer.project(rows), projected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert torch.equal(splicer.newline, hf.model.image_newline)
    assert not model.training
    assert not splicer._projector._module.training


@pytest.mark.parametrize("style", [old_style, new_style])
@pytest.mark.parametrize("sharded", [False, True])
def test_every_way_of_naming_and_sharding(folder, names, language, style, sharded):
    def shard(name):
        if VISION in name:
            return "model-00003-of-00003.safetensors"
        return f"model-0000{1 + ('lm_head' in name or 'layers.1' in name)}-of-00003.safetensors"

    styled = [style(name) for name in names]
    assert any(name.startswith("model.language_model.") for name in styled) == (style is new_style)
    assert any(name.startswith("language_model.lm_head.") for name in styled) == (style is old_style)
    # The shard with the tower is not even there.
    absent = ("model-00003-of-00003.safetensors",) if sharded else ()
    edit(folder, rename=style, shards=shard if sharded else None, absent=absent)
    close(logits(load(folder)), logits(language))


def test_no_tower_in_the_file_is_no_problem(folder, language):
    edit(folder, rename=lambda name: None if VISION in name else name)
    close(logits(load(folder)), logits(language))


@pytest.mark.parametrize(
    "part",
    [
        "lm_head.weight",
        "embed_tokens.weight",
        "layers.1.mlp.up_proj.weight",
        "multi_modal_projector.linear_2.bias",
        "image_newline",
    ],
)
def test_a_missing_tensor_names_the_variable(folder, names, part):
    assert any(part in name for name in names)
    language = ("language_model", "lm_head", "projector", "newline")
    edit(
        folder,
        rename=lambda name: None if part in name and any(word in name for word in language) else name,
    )
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*'.*weights"):
        load(folder)


@pytest.mark.parametrize("absent", ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"])
def test_a_missing_shard_names_the_variable_and_the_file(folder, absent):
    edit(
        folder,
        shards=lambda name: f"model-0000{1 + ('layers.1' in name)}-of-00002.safetensors",
        absent=(absent,),
    )
    with pytest.raises(SettingError, match=rf"^HEROSERVE_MODEL='.*': {absent} is missing"):
        load(folder)


def test_a_weight_too_many_names_the_variable(folder):
    edit(folder, text_config={"num_hidden_layers": 1})
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*'.*do not fit the config"):
        load(folder)


def test_no_weights_names_the_variable(folder):
    edit(folder, absent=("model.safetensors",))
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*'.*it has no weights: none of model.safetensors"):
        load(folder)


@pytest.mark.parametrize("size", [{"intermediate_size": 96}, {"vocab_size": 500}], ids=str)
def test_a_shape_that_does_not_fit_names_the_variable(folder, size):
    edit(folder, text_config=size)
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*'.*do not fit the config"):
        load(folder)


def test_a_truncated_file_names_the_variable(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL="):
        load(folder)


def test_a_broken_index_names_the_variable(folder):
    edit(folder, shards=lambda name: "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {')
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL="):
        load(folder)


def test_no_tokenizer_names_the_variable(folder):
    edit(folder, absent=("tokenizer.json", "tokenizer_config.json"))
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL="):
        parts.open_prompts(LlmSettings(model=str(folder)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"vision_feature_select_strategy": "full"}, "vision_feature_select_strategy"),
        ({"model_type": "llama"}, "it is a 'llama' checkpoint; served are llava_next"),
    ],
)
def test_another_kind_of_model_is_told_at_once(folder, change, problem):
    edit(folder, config=change)
    with pytest.raises(SettingError, match=f"^HEROSERVE_MODEL='.*': .*{problem}"):
        load(folder)


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_head_tied_to_the_embeddings(folder, everywhere):
    """Small language models store no head; what ties it is the entry at the top of LlavaNextConfig."""
    tied = {"tie_word_embeddings": True}
    edit(
        folder,
        config=tied,
        text_config=tied if everywhere else {},
        rename=lambda name: None if "lm_head" in name else name,
    )
    theirs, report = LlavaNextForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    ours = load(folder).engine.model
    assert torch.equal(ours.get_output_embeddings().weight, theirs.lm_head.weight)
    assert torch.equal(ours.get_input_embeddings().weight, theirs.lm_head.weight)


def test_a_head_of_its_own_is_not_tied(folder):
    """What Hugging Face makes of a config whose text_config says "tied" and whose top does not."""
    edit(folder, text_config={"tie_word_embeddings": True})
    theirs = LlavaNextForConditionalGeneration.from_pretrained(folder)
    ours = load(folder).engine.model
    assert torch.equal(ours.get_output_embeddings().weight, theirs.lm_head.weight)


@pytest.mark.parametrize(("dtype", "wanted"), [("auto", torch.float32), ("bfloat16", torch.bfloat16)])
def test_everything_is_in_the_dtype_asked_for(untrained, dtype, wanted):
    language = load(untrained, dtype=dtype, device="cpu")
    assert {tensor.dtype for tensor in held(language).values()} == {wanted}
    assert language.splicer.project(torch.zeros(2, 64, dtype=torch.float16)).dtype == wanted


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that is not there")
def test_cuda_where_there_is_none_names_the_variable(untrained):
    with pytest.raises(SettingError, match=r"^HEROSERVE_DEVICE='cuda'"):
        load(untrained, device="cuda")


@pytest.mark.parametrize(
    ("generation", "text_config", "wanted"),
    [
        ({"eos_token_id": 9}, {}, {9}),
        ({"eos_token_id": [9, 10]}, {}, {9, 10}),
        ({}, {"eos_token_id": 11}, {11}),
        ({}, {"eos_token_id": [11, 12]}, {11, 12}),
        ({}, {"eos_token_id": None}, set()),
    ],
    ids=str,
)
def test_what_ends_an_answer(folder, generation, text_config, wanted):
    edit(folder, generation=generation, text_config=text_config)
    assert load(folder).engine.end_tokens == wanted


def test_the_context_is_the_language_models(folder, engine):
    assert engine.context_length == 4096
    edit(folder, text_config={"max_position_embeddings": 77})
    assert load(folder).engine.context_length == 77
