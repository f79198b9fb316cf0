"""Weights are read a part at a time, and every failure names the variable that named their checkpoint."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.common.weights.load import META, load_module, load_tensor
from services.common.weights.stored import StoredTensor, digest, main_dtype, prefixed, stored_tensors

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
    got = stored_tensors(source, prefixed("a."))
    assert got.keys() == {"one", "two"}
    assert torch.equal(got["one"].read(), TENSORS["a.one"])
    assert (got["two"].kind, got["two"].shape, got["two"].read().tolist()) == ("F16", (2,), [1, 1])
    assert stored_tensors(source, every).keys() == TENSORS.keys()


def test_shards_with_nothing_wanted_stay_closed(sharded, tmp_path):
    (tmp_path / "2.safetensors").unlink()
    assert stored_tensors(sharded, lambda name: name if name == "a.one" else None).keys() == {"a.one"}
    with pytest.raises(
        SettingError,
        match=r"^HEROSERVE_MODEL='.*': 2\.safetensors is missing; model\.safetensors\.index\.json says that it holds",
    ):
        stored_tensors(sharded, prefixed("b."))


@pytest.mark.parametrize("form", ["single", "sharded"])
def test_nothing_of_what_is_wanted_names_the_variable(form, request):
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*none of the tensors"):
        stored_tensors(request.getfixturevalue(form), prefixed("c."))


def test_no_weights(tmp_path):
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*it has no weights: none of model.safetensors"):
        stored_tensors(Checkpoint(str(tmp_path), "HEROSERVE_X"), every)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*pytorch_model.bin is empty; download it again"):
        stored_tensors(Checkpoint(str(tmp_path), "HEROSERVE_X"), every)


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
    ("held", "more"),
    [({}, {}), ({"weight": torch.zeros(3, 2)}, {}), ({"weight": torch.ones(2, 3)}, {"bias": torch.ones(2)})],
)
@pytest.mark.parametrize("device", [META, torch.device("cpu")], ids=str)
def test_weights_that_do_not_fit_name_the_variable(tmp_path, held, more, device):
    save_file(
        {"other": torch.zeros(1)} | {f"m.{name}": tensor for name, tensor in (held | more).items()},
        tmp_path / "model.safetensors",
    )
    source = Checkpoint(str(tmp_path), "HEROSERVE_X")
    weights = {} if not held else stored_tensors(source, prefixed("m."))
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*': weights do not fit the config: \S*(weight|bias)"):
        load_module(lambda: torch.nn.Linear(3, 2, bias=False), weights, source, device, torch.float32)


def test_a_module_has_the_dtype_asked_for_and_memory_of_its_own(tmp_path):
    """A file that is replaced in place, as rsync does, changes nothing of a service that runs."""
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.full((2, 3), 1.5)}, path)
    source = Checkpoint(str(tmp_path), "HEROSERVE_X")
    for dtype in (torch.float32, torch.bfloat16):
        module = load_module(
            lambda: torch.nn.Linear(3, 2, bias=False), stored_tensors(source, every), source, torch.device("cpu"), dtype
        )
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.write(bytes(len(whole)))
        assert (module.weight.dtype, module.weight.sum().item()) == (dtype, 9)
        path.write_bytes(whole)


def test_a_module_on_meta_reads_nothing(tmp_path, monkeypatch):
    save_file({"weight": torch.ones(2, 3)}, tmp_path / "model.safetensors")
    source = Checkpoint(str(tmp_path), "HEROSERVE_X")
    monkeypatch.setattr(StoredTensor, "read", lambda tensor: pytest.fail(f"{tensor} is read"))
    module = load_module(
        lambda: torch.nn.Linear(3, 2, bias=False), stored_tensors(source, every), source, META, torch.float32
    )
    assert module.weight.device == META


@pytest.mark.parametrize(("shape", "fits"), [((4,), True), (None, True), ((2, 2), False)])
def test_one_tensor(single, shape, fits):
    def load():
        return load_tensor(single, prefixed("a.o"), shape, torch.device("cpu"), torch.float16)

    if fits:
        assert (load().dtype, load().tolist()) == (torch.float16, [0, 1, 2, 3])
    else:
        with pytest.raises(SettingError, match=r"a\.one of model\.safetensors is \[4\], expected \[2, 2\]$"):
            load()


def test_the_main_dtype_is_that_of_most_values(single, tmp_path):
    assert main_dtype(stored_tensors(single, every)) == torch.float32
    tensors = {"norm": torch.ones(3), "weight": torch.ones(2, 2, dtype=torch.bfloat16), "ids": torch.arange(9)}
    save_file(tensors, tmp_path / "model.safetensors")
    assert main_dtype(stored_tensors(single, every)) == torch.bfloat16


def test_one_tensor_under_two_names_is_refused(tmp_path):
    save_file(
        {"lm_head.weight": torch.ones(1), "language_model.lm_head.weight": torch.zeros(1)},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(
        SettingError, match=r"hold one tensor twice: .*lm_head.weight of model\.safetensors, and .*lm_head"
    ):
        stored_tensors(Checkpoint(str(tmp_path), "HEROSERVE_X"), prefixed("language_model.", ""))
