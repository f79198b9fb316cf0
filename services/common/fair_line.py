"""Who waits for a turn, and whose turn is next: by arrival among one's own, by turns among strangers."""

from __future__ import annotations

from collections import deque
from typing import Generic, Literal, Protocol, TypeVar

# Whose a request is, from the outside in: a key's, and within the key a scope's.
Path = tuple[str, ...]
Measure = Literal["waiting", "size"]


class Waiting(Protocol):
    """One in line."""

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int: ...


W = TypeVar("W", bound=Waiting)


class FairLine(Generic[W]):
    """A line of parties, each of which is a line too: of parties within it, or, at the end of a path, of who waits.

    A turn goes to the party with the fewest at work, among equals to the one whose last turn is the longest ago, and
    within it by the same rule. So who asks without end has all that others leave, and nothing that they want.

    Attributes:
        waiting: how many wait.
        size: bytes of theirs.
        working: how many have had their turn and are not at their end.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.size = 0
        self.working = 0
        # In the order of their last turns. Who has nothing here any more is forgotten.
        self._parties: dict[str, FairLine[W]] = {}
        self._own: deque[W] = deque()

    def begin(self, path: Path) -> None:
        """One of theirs works, without having waited."""
        self.working += 1
        if path:
            self._take_turn(path[0]).begin(path[1:])

    def end(self, path: Path) -> None:
        """One of theirs has worked."""
        self.working -= 1
        if path:
            self._parties[path[0]].end(path[1:])
            self._forget(path[0])

    def add(self, item: W, depth: int = 0) -> None:
        """Behind its own."""
        self.waiting += 1
        self.size += item.size
        if depth == len(item.path):
            self._own.append(item)
        else:
            self._parties.setdefault(item.path[depth], FairLine()).add(item, depth + 1)

    def remove(self, item: W, depth: int = 0) -> bool:
        """Take out one that does not wait any more; False if it is not there."""
        if depth == len(item.path):
            found = item in self._own
            if found:
                self._own.remove(item)
        else:
            name = item.path[depth]
            found = name in self._parties and self._parties[name].remove(item, depth + 1)
        if found:
            self._left(item, depth)
        return found

    def pop(self, depth: int = 0) -> W:
        """Whoever's turn it is, who works from now on; there must be one."""
        if self._own:
            item = self._own.popleft()
        else:
            waiting = [name for name, party in self._parties.items() if party.waiting]
            name = min(waiting, key=lambda name: self._parties[name].working)
            item = self._take_turn(name).pop(depth + 1)
        self.working += 1
        self._left(item, depth)
        return item

    def turns(self, path: Path, depth: int = 0) -> int:
        """How many turns it takes until one more of theirs has had its own, if nobody else comes."""
        if depth == len(path):
            return self.waiting + 1
        name = path[depth]
        own = self._parties[name].turns(path, depth + 1) if name in self._parties else 1
        return own + sum(min(party.waiting, own) for other, party in self._parties.items() if other != name)

    def give_way(self, path: Path, measure: Measure, amount: int, depth: int = 0) -> W | None:
        """Take out the last of who has most, if that is more than they would have with ``amount`` more; else None."""
        if depth == len(path) or not self._parties:
            return None
        heaviest = max(self._parties.values(), key=lambda party: party._measured(measure))
        own: FairLine[W] = self._parties.get(path[depth], FairLine())
        if heaviest._measured(measure) > own._measured(measure) + amount:
            item: W | None = heaviest._drop(measure, depth + 1)
        else:
            item = own.give_way(path, measure, amount, depth + 1)
        if item is not None:
            self._left(item, depth)
        return item

    def _take_turn(self, name: str) -> FairLine[W]:
        """This party, which is last among equals from now on."""
        party = self._parties.pop(name) if name in self._parties else FairLine[W]()
        self._parties[name] = party
        return party

    def _drop(self, measure: Measure, depth: int) -> W:
        if self._own:
            item = self._own.pop()
        else:
            item = max(self._parties.values(), key=lambda party: party._measured(measure))._drop(measure, depth + 1)
        self._left(item, depth)
        return item

    def _measured(self, measure: Measure) -> int:
        return self.waiting if measure == "waiting" else self.size

    def _left(self, item: W, depth: int) -> None:
        self.waiting -= 1
        self.size -= item.size
        if depth < len(item.path):
            self._forget(item.path[depth])

    def _forget(self, name: str) -> None:
        if not (self._parties[name].waiting or self._parties[name].working):
            del self._parties[name]
