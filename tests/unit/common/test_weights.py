"""Weights are read a part at a time, and every failure names the variable that named their checkpoint."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.common.weights import digest, load, prefixed, read_tensors

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
    got = read_tensors(source, prefixed("a."))
    assert got.keys() == {"one", "two"}
    assert torch.equal(got["one"], TENSORS["a.one"])
    assert (got["two"].dtype, got["two"].tolist()) == (torch.float16, [1, 1])
    assert read_tensors(source, every).keys() == TENSORS.keys()


def test_shards_with_nothing_wanted_stay_closed(sharded, tmp_path):
    (tmp_path / "2.safetensors").unlink()
    assert read_tensors(sharded, lambda name: name if name == "a.one" else None).keys() == {"a.one"}
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*': 2\.safetensors is missing$"):
        read_tensors(sharded, prefixed("b."))


@pytest.mark.parametrize("form", ["single", "sharded"])
def test_nothing_of_what_is_wanted_names_the_variable(form, request):
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*none of the tensors"):
        read_tensors(request.getfixturevalue(form), prefixed("c."))


def test_no_weights(tmp_path):
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*it has no weights: none of model.safetensors"):
        read_tensors(Checkpoint(str(tmp_path), "HEROSERVE_X"), every)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*pytorch_model.bin is damaged or incomplete"):
        read_tensors(Checkpoint(str(tmp_path), "HEROSERVE_X"), every)


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
