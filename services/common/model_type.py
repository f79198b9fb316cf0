"""Of which kind a checkpoint is, read before anything of transformers sees it."""

from __future__ import annotations

import reprlib
from collections.abc import Collection

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError


def checked_model_type(source: Checkpoint, served: Collection[str], wanted: str) -> str:
    """Its model_type, one of ``served``.

    Args:
        source: the checkpoint.
        served: model types.
        wanted: the same in words, with which every refusal ends.

    Raises:
        SettingError: there is no such checkpoint, or it is of another kind.
    """
    # Where there is none at all its kind is no matter.
    _ = source.snapshot
    try:
        model_type = source.model_type
    except SettingError as error:
        raise SettingError(f"{error}; {wanted}") from error
    if model_type is None:
        raise source.unusable(f"its config.json has no model_type; {wanted}")
    if not isinstance(model_type, str):
        raise source.unusable(f"its config.json has the model_type {reprlib.repr(model_type)}; {wanted}")
    if model_type not in served:
        raise source.unusable(f"it is a {reprlib.repr(model_type)} checkpoint; {wanted}")
    return model_type
