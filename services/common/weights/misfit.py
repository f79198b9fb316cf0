"""How weights differ from what a config makes of a model, in a line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from services.common.checkpoint import Checkpoint
from services.common.shown import shown_name
from services.common.weights.file import SERVED
from services.common.weights.quantised import refuse_quantised_tensors
from services.common.weights.stored import StoredTensor

Shape = tuple[int, ...]
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class Misfit:
    """Stored weights against a model. Names are the model's.

    Args:
        weights: what is stored.
        expected: shapes of what the model has.
        missing: what it has and is not stored.
        unexpected: what is stored and it has not.
        mismatched: what is stored in another shape than the model's, which stands here.
    """

    weights: Mapping[str, StoredTensor]
    expected: Mapping[str, Shape]
    missing: Set[str] = frozenset()
    unexpected: Set[str] = frozenset()
    mismatched: Mapping[str, Shape] = field(default_factory=dict)

    def refuse(self, source: Checkpoint) -> None:
        """Raises:
        SettingError: there is a difference, or a weight in a dtype that is not served.
        """
        odd = [name for name in self.expected if name in self.weights and self.weights[name].kind not in SERVED]
        if not (self.missing or self.unexpected or self.mismatched or odd):
            return
        refuse_quantised_tensors(source, {tensor.name: tensor.kind for tensor in self.weights.values()})
        problems = [
            *(
                f"{self._stored(name)} is {self._shape(name)}, expected {list(self.mismatched[name])}"
                for name in sorted(self.mismatched)
            ),
            *(f"{self._lost(name)} {list(self.expected[name])} is missing" for name in sorted(self.missing)),
            *(f"{self._stored(name)} is in no place of the model's" for name in sorted(self.unexpected)),
            *(f"{self._stored(name)} is in {self.weights[name].kind}, served are {', '.join(SERVED)}" for name in odd),
        ]
        more = f", and {len(problems) - 1} more like it" if len(problems) > 1 else ""
        raise source.unusable(f"weights do not fit the config: {problems[0]}{more}")

    def _stored(self, name: str) -> str:
        """Where it lies; what transformers made of several stored ones has its name alone."""
        return str(self.weights[name]) if name in self.weights else shown_name(name)

    def _lost(self, name: str) -> str:
        """What it would be stored under, as far as what is stored beside it tells."""
        for other, tensor in self.weights.items():
            if tensor.name.endswith(other):
                return shown_name(tensor.name.removesuffix(other) + name)
        return shown_name(name)

    def _shape(self, name: str) -> str:
        return str(list(self.weights[name].shape)) if name in self.weights else "of another shape"


def odd_one(weights: Mapping[str, StoredTensor]) -> str | None:
    """Of many layers or experts alike, the one that is not: in another shape than the others, or not there."""
    shapes: dict[str, Counter[Shape]] = {}
    # By what stands up to the last number, and behind it: the numbers.
    stored: dict[str, dict[str, set[tuple[str, ...]]]] = {}
    for name, tensor in weights.items():
        shapes.setdefault(_NUMBER.sub("#", name), Counter())[tensor.shape] += 1
        kind, _, rest = _NUMBER.sub("#", name).rpartition("#")
        stored.setdefault(kind, {}).setdefault(rest, set()).add(tuple(_NUMBER.findall(name)))
    for name, tensor in weights.items():
        (usual, _), *others = shapes[_NUMBER.sub("#", name)].most_common()
        if others and tensor.shape != usual:
            return f"{tensor} is {list(tensor.shape)}, the others of its kind are {list(usual)}"
    for kind, rests in stored.items():
        every = set().union(*rests.values())
        for rest, numbers in rests.items():
            for lost in sorted(every - numbers):
                return f"{kind}#{rest}".replace("#", "{}").format(*lost) + " is missing"
    return None
