"""The method's choices in one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

# In which order a tile's patches are kept: by score and novelty (``order.py``), or by score alone, as in the paper.
Order = Literal["diverse", "score"]

# Where the published CLIP-L/14 tower (24 layers) is read: layers 5..8 look at objects, 22 is global.
_DEPTH = 24
_LOW = (5, 9)


@dataclass(frozen=True)
class HeroConfig:
    """What HERO reads and how it shares out its budget.

    The paper's names: ``alpha`` weighs saliency against relevance, ``density_weight`` is w,
    ``saliency_temperature`` T_cls and ``relevance_temperature`` T_clip. Layers index the tower's
    transformer blocks from 0. What the paper leaves open was chosen by measurement, see docs/method.md.
    """

    low_layers: tuple[int, ...] = (5, 6, 7, 8)
    high_layers: tuple[int, ...] = (22,)
    alpha: float = 0.25
    density_weight: float = 0.2
    saliency_temperature: float = 0.1
    relevance_temperature: float = 0.01
    # Ours, not the paper's, whose order is "score".
    order: Order = "diverse"
    quality_floor: float = 0.2
    # Of the local budget what no question changes, where a base is asked for; see ``base.py``.
    base_share: float = 0.5
    # What the authors' code does and the default corrects, see docs/architecture.md.
    softmax_again: bool = False
    count_padding: bool = False
    spend_remainder: bool = True

    def __post_init__(self) -> None:
        if not self.low_layers or not self.high_layers or min(self.layers) < 0:
            raise ValueError("low_layers and high_layers need at least one index each, none below 0")
        if not 0 <= self.alpha <= 1 or not 0 <= self.density_weight <= 1:
            raise ValueError("alpha and density_weight must lie in [0, 1]")
        if not 0 <= self.base_share <= 1:
            raise ValueError("base_share must lie in [0, 1]")
        if self.order not in get_args(Order) or not self.quality_floor > 0:
            raise ValueError(f"order must be one of {get_args(Order)}, and quality_floor above 0")
        if not (self.saliency_temperature > 0 and self.relevance_temperature > 0):
            raise ValueError("temperatures must be above 0")

    @property
    def layers(self) -> tuple[int, ...]:
        """Every layer that is read, ascending: the order in which CLS rows are recorded."""
        return tuple(sorted({*self.low_layers, *self.high_layers}))

    @classmethod
    def paper(cls) -> HeroConfig:
        """The default but for its order: by score alone, as the paper has it; see docs/method.md."""
        return cls(order="score")

    @classmethod
    def reference(cls) -> HeroConfig:
        """The authors' code with all its habits: for comparison, not for service."""
        return cls(order="score", alpha=0.5, softmax_again=True, count_padding=True, spend_remainder=False)

    def for_depth(self, layers: int) -> HeroConfig:
        """This config for a tower of ``layers`` blocks: the default layers at the same relative depth.

        For 24 blocks nothing changes. Otherwise low is the default range scaled, whatever it was, with the block that
        its end falls into, and high the block whose output ``vision_feature_layer = -2`` hands to the language model.
        """
        if layers < 1:
            raise ValueError(f"layers must be at least 1, not {layers}")
        if layers == _DEPTH:
            return self
        start = min(round(_LOW[0] * layers / _DEPTH), layers - 1)
        stop = min(math.ceil(_LOW[1] * layers / _DEPTH), layers)
        return replace(self, low_layers=tuple(range(start, stop)), high_layers=(max(0, layers - 2),))
