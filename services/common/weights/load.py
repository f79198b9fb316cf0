"""Models made of stored tensors: built without memory, then filled tensor by tensor, in their dtype, on their device.

On the device ``meta`` nothing is read: what comes out has shapes and no values, and what does not fit is told as it
would be when it is loaded. That is how a service is checked before it is started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import EllipsisType
from typing import Any, TypeVar

import torch

from services.common.checkpoint import Checkpoint
from services.common.shown import first_line
from services.common.weights.misfit import Misfit, odd_one
from services.common.weights.quiet import quiet
from services.common.weights.stored import Select, StoredTensor, stored_tensors

META = torch.device("meta")

Module = TypeVar("Module", bound=torch.nn.Module)
Shape = tuple[int, ...]
# Whatever a config's values may make the code of a model raise.
BUILDING = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def load_pretrained(
    kind: Any,
    config: Any,
    weights: Mapping[str, StoredTensor],
    source: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    """A model of transformers, of class ``kind``, with exactly these weights; ready to run.

    Raises:
        SettingError: a weight is missing, left over, of another shape or in a dtype that is not served.
    """
    state = {name: _Unread(tensor, device) for name, tensor in weights.items()}
    if device == META:
        # What is not stored transformers makes on the CPU, of any size that a config may name.
        kind = type(kind.__name__, (kind,), {"initialize_weights": lambda self: None, "__module__": kind.__module__})
    try:
        with quiet():
            model, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=dtype,
                device_map={"": device},
                output_loading_info=True,
                # Told with the other misfits, below.
                ignore_mismatched_sizes=True,
            )
    except BUILDING as error:
        if device != META and isinstance(error, RuntimeError):
            # An accelerator that is full, or lost.
            raise
        raise source.unusable(f"weights do not fit the config: {odd_one(weights) or first_line(error)}") from error
    Misfit(
        weights=weights,
        expected={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
        missing=set(report["missing_keys"]),
        unexpected=set(report["unexpected_keys"]),
        mismatched={name: tuple(shape) for name, _, shape in report["mismatched_keys"]},
    ).refuse(source)
    return model.eval()


def load_module(
    build: Callable[[], Module],
    weights: Mapping[str, StoredTensor],
    source: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
) -> Module:
    """A module without buffers, which ``build`` makes, with exactly these weights; ready to run.

    Raises:
        SettingError: as above.
    """
    try:
        with META:
            module = build()
    except BUILDING as error:
        raise source.unusable(f"its config makes no model ({first_line(error)})") from error
    expected: dict[str, Shape] = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    both = expected.keys() & weights.keys()
    Misfit(
        weights=weights,
        expected=expected,
        missing=expected.keys() - weights.keys(),
        unexpected=weights.keys() - expected.keys(),
        mismatched={name: expected[name] for name in both if expected[name] != weights[name].shape},
    ).refuse(source)
    module.load_state_dict({name: _Unread(weights[name], device).to(dtype) for name in expected}, assign=True)
    return module.eval()


def load_tensor(
    source: Checkpoint, select: Select, shape: Shape | None, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """The one tensor that ``select`` wants.

    Raises:
        SettingError: there is none, or one of another shape than ``shape``.
    """
    weights = stored_tensors(source, select)
    ((name, tensor),) = weights.items()
    fits = shape is None or tensor.shape == shape
    Misfit(
        weights=weights,
        expected={name: tensor.shape if shape is None else shape},
        mismatched={} if fits else {name: shape or ()},
    ).refuse(source)
    return _Unread(tensor, device).to(dtype)


class _Unread:
    """What transformers takes for a tensor and reads when its turn comes, as it does with safetensors' slices."""

    def __init__(self, tensor: StoredTensor, device: torch.device) -> None:
        self._tensor = tensor
        self._device = device

    def __getitem__(self, everything: EllipsisType) -> torch.Tensor:
        if self._device == META:
            return torch.empty(self._tensor.shape, device=META)
        return self._tensor.read()

    def to(self, dtype: torch.dtype) -> torch.Tensor:
        return self[...].to(self._device, dtype)
