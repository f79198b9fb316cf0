"""Whether this process is to end, as handlers of signals say it."""

from __future__ import annotations

from queue import SimpleQueue


class Stop:
    """Asked for once or more, and waited for.

    One signal may come while another's handler runs, in the same thread. ``threading.Event`` would wait there for its
    own lock, for ever; a ``SimpleQueue`` is made for it.
    """

    def __init__(self) -> None:
        self.asked = False
        self._told: SimpleQueue[None] = SimpleQueue()

    def ask(self) -> None:
        self.asked = True
        self._told.put(None)

    def wait(self) -> None:
        """Until it was asked for; for one thread."""
        self._told.get()
