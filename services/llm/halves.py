"""Whether the encoder has the other half of this service's checkpoint. Widths tell nothing: most towers are as wide."""

from __future__ import annotations

from services.common.errors import FailedPrecondition
from services.common.identity import same


def refuse_another(target: str, model: str, checkpoint: str, own_model: str, own: str) -> None:
    """Compare two checkpoints.

    Args:
        target: the encoder's address.
        model, checkpoint: the encoder's, as its setting names it and as ``identify`` does.
        own_model, own: this service's.

    Raises:
        FailedPrecondition: they are different ones, or can't be told to be the same.
    """
    if same(checkpoint, own):
        return
    kinds = {one.partition(":")[0] for one in (checkpoint, own)}
    remedy = "set HEROSERVE_MODEL and HEROSERVE_REVISION alike in both services"
    if len(kinds) > 1:
        remedy = f"a hub id and a folder can't be compared; {remedy}, to a hub id or to copies of one folder"
    raise FailedPrecondition(
        f"the encoder at {target} serves {model!r} ({checkpoint}), this service {own_model!r} ({own}), "
        f"which are not halves of one checkpoint; {remedy}"
    )
