"""Checkpoints are read a part at a time, and every failure names the variable that named them."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from services.common.checkpoint import Checkpoint, digest, load, pick_device, pick_dtype, prefixed
from services.common.settings import SettingError

TENSORS = {"a.one": torch.arange(4.0), "a.two": torch.ones(2, dtype=torch.float16), "b.one": torch.zeros(3)}


def every(name: str) -> str:
    return name


@pytest.fixture
def single(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    return Checkpoint(str(tmp_path), "HEROSERVE_MODEL")


@pytest.fixture
def sharded(tmp_path):
    save_file({"a.one": TENSORS["a.one"]}, tmp_path / "1.safetensors")
    save_file({"a.two": TENSORS["a.two"], "b.one": TENSORS["b.one"]}, tmp_path / "2.safetensors")
    index = {"a.one": "1.safetensors", "a.two": "2.safetensors", "b.one": "2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return Checkpoint(str(tmp_path), "HEROSERVE_MODEL")


@pytest.mark.parametrize("form", ["single", "sharded"])
def test_only_what_is_selected_is_loaded_under_its_new_name(form, request):
    source = request.getfixturevalue(form)
    got = source.tensors(prefixed("a."))
    assert got.keys() == {"one", "two"}
    assert torch.equal(got["one"], TENSORS["a.one"])
    assert (got["two"].dtype, got["two"].tolist()) == (torch.float16, [1, 1])
    assert source.tensors(every).keys() == TENSORS.keys()


def test_shards_with_nothing_wanted_stay_closed(sharded, tmp_path):
    (tmp_path / "2.safetensors").unlink()
    assert sharded.tensors(lambda name: name if name == "a.one" else None).keys() == {"a.one"}
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*': 2\.safetensors is missing$"):
        sharded.tensors(prefixed("b."))


@pytest.mark.parametrize("form", ["single", "sharded"])
def test_nothing_of_what_is_wanted_names_the_variable(form, request):
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*none of the tensors"):
        request.getfixturevalue(form).tensors(prefixed("c."))


def test_no_weights(tmp_path):
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*it has no weights: none of model.safetensors"):
        Checkpoint(str(tmp_path), "HEROSERVE_X").tensors(every)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*pytorch_model.bin is damaged or incomplete"):
        Checkpoint(str(tmp_path), "HEROSERVE_X").tensors(every)


@pytest.mark.parametrize("content", [None, "{", '{"model_type": "no such thing"}', "{}"])
def test_no_usable_config_names_the_variable(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*': no checkpoint found \(.+\)$"):
        _ = Checkpoint(str(tmp_path), "HEROSERVE_X").config


def test_a_name_that_is_no_folder_names_the_variable(tmp_path):
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*/nowhere': no checkpoint found"):
        _ = Checkpoint(str(tmp_path / "nowhere"), "HEROSERVE_X").config


@pytest.mark.parametrize(
    ("own", "trained"), [({}, True), ({"heroserve": {"trained": False}}, False), ({"heroserve": None}, True)]
)
def test_trained_unless_the_config_says_otherwise(tmp_path, own, trained):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"} | own))
    assert Checkpoint(str(tmp_path), "HEROSERVE_X").trained is trained


def test_files(tmp_path):
    (tmp_path / "a.json").write_text('{"a": "é"}', encoding="utf-8")
    source = Checkpoint(str(tmp_path), "HEROSERVE_X")
    assert source.path("a.json") == tmp_path / "a.json"
    assert source.path("b.json") is None
    assert (source.json("a.json"), source.json("b.json")) == ({"a": "é"}, {})


def test_prefixes_are_tried_in_order():
    select = prefixed("a.b.", "a.", "c.")
    assert [select(name) for name in ("a.b.x", "a.x", "c.", "d.a.b.x", "")] == ["x", "x", "", None, None]


def test_a_digest_is_of_names_dtypes_shapes_and_values():
    base = {"x": torch.arange(6.0).view(2, 3), "y": torch.zeros(2)}
    others = [
        {"x": base["x"], "z": base["y"]},
        {"x": base["x"].view(3, 2), "y": base["y"]},
        {"x": base["x"].to(torch.bfloat16), "y": base["y"]},
        {"x": base["x"] + 1e-6, "y": base["y"]},
        {"x": base["x"]},
        {"x": base["x"], "y": torch.zeros(2, dtype=torch.int32)},
    ]
    assert len({digest(one) for one in [base, *others]}) == 7
    # Neither order nor strides count.
    assert digest({"y": base["y"], "x": base["x"].T.contiguous().T}) == digest(base)


@pytest.mark.parametrize(
    "weights", [{"weight": torch.zeros(3, 2)}, {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, {}]
)
def test_weights_that_do_not_fit_name_the_variable(weights):
    module = torch.nn.Linear(3, 2, bias=False)
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='name': weights do not fit the config"):
        load(module, weights, Checkpoint("name", "HEROSERVE_X"))
    load(module, {"weight": torch.ones(2, 3)}, Checkpoint("name", "HEROSERVE_X"))
    assert module.weight.sum() == 6


@pytest.mark.parametrize(
    ("dtype", "device", "wanted"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda", torch.float16),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float32", "cuda", torch.float32),
        ("float16", "cpu", torch.float16),
    ],
)
def test_dtypes(dtype, device, wanted):
    assert pick_dtype(dtype, torch.device(device)) == wanted


@pytest.mark.parametrize("there", [True, False])
def test_devices(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if there else "cpu")
    if there:
        assert pick_device("cuda").type == "cuda"
    else:
        with pytest.raises(SettingError, match=r"^HEROSERVE_DEVICE='cuda'"):
            pick_device("cuda")
