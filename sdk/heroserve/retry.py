"""When a failed call is tried again, and how long it waits first. Free of input and output, as `call` is."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import Literal

# Worth another try, each in its own way. No RPC changes anything, so sending one twice is safe; any other failure would
# only repeat itself.
#   absent: nobody took the call up; another try costs no service anything
#   away: a service lost it, or what it needs
#   busy: overload; another try makes it worse
Setback = Literal["absent", "away", "busy"]

# Of a call that waits for a service: the least pause, and what must be left of its time for another attempt.
_LEAST_PAUSE_S = 0.02
_LEAST_TIME_S = 0.1


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter, within the call's deadline.

    Args:
        attempts: how often a call is sent at most to a service that takes it up, the first time included; 1 never
            retries.
        initial_backoff_s: longest wait before the second attempt, in seconds.
        multiplier: what the longest wait grows by with every attempt, at least 1.
        max_backoff_s: longest wait there is, in seconds.
        wait_for_service: go on until the deadline where nobody takes the call up: the connection is refused, the name
            is not known, the service is starting. False counts that like any other failure.
        overload_share: calls that a client may send again because a service was overloaded, as a share of all that it
            makes; one is free. More would keep the service overloaded. With 1 every call may be, as often as `attempts`
            says: for whoever bounds by other means how many run at once.

    Raises ValueError for a policy that makes no sense.
    """

    attempts: int = 5
    initial_backoff_s: float = 0.2
    multiplier: float = 2.0
    max_backoff_s: float = 5.0
    wait_for_service: bool = True
    overload_share: float = 0.1

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")
        if self.initial_backoff_s < 0 or self.max_backoff_s < 0:
            raise ValueError("initial_backoff_s and max_backoff_s must not be negative")
        if self.multiplier < 1:
            raise ValueError(f"multiplier must be at least 1, not {self.multiplier}")
        if not 0 <= self.overload_share <= 1:
            raise ValueError(f"overload_share must be from 0 to 1, not {self.overload_share}")

    def backoff_s(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failed attempt (from 1).

        Uniform from 0 on (full jitter), so that clients which failed together do not come back together.
        """
        # The exponent is bounded because a float is.
        longest = min(self.max_backoff_s, self.initial_backoff_s * self.multiplier ** min(failures - 1, 100))
        return random.uniform(0, longest)  # noqa: S311 - spreads load, guards nothing


class RetryBudget:
    """What a client may add to an overload: a share of its calls, however many of them meet one. Thread-safe."""

    _MOST = 10.0  # what quiet times can save up

    def __init__(self, share: float) -> None:
        self._share = share
        self._unbounded = share == 1
        self._left = 1.0 if share else 0.0
        self._lock = threading.Lock()

    def deposit(self) -> None:
        """A call is made."""
        with self._lock:
            self._left = min(self._MOST, self._left + self._share)

    def withdraw(self) -> bool:
        """Whether one may be sent again."""
        if self._unbounded:
            return True
        with self._lock:
            # Ten times a tenth is a little less than one.
            if self._left < 1 - 1e-9:
                return False
            self._left -= 1
            return True


class Retries:
    """Those of one call.

    Args:
        policy: the client's.
        budget: what all its calls share.
    """

    def __init__(self, policy: RetryPolicy, budget: RetryBudget) -> None:
        self._policy = policy
        self._budget = budget
        self._failures = 0
        self._absences = 0

    def pause_s(self, setback: Setback, remaining_s: float, hint_s: float | None = None) -> float | None:
        """Seconds to wait before the next attempt; None when there is none.

        Args:
            setback: what became of this one.
            remaining_s: seconds left of the call's time.
            hint_s: when the service wants it again; less than 0 for never.
        """
        if setback == "absent" and self._policy.wait_for_service and self._policy.attempts > 1:
            self._absences += 1
            if remaining_s < _LEAST_TIME_S:
                return None
            # The last attempts come close before the deadline, however long the pauses have become.
            return min(max(_LEAST_PAUSE_S, self._policy.backoff_s(self._absences)), remaining_s / 2)
        self._absences = 0
        self._failures += 1
        pause_s = self._policy.backoff_s(self._failures) if hint_s is None else hint_s
        # No use in sleeping towards a certain DeadlineExceeded: the cause at hand says more.
        if self._failures >= self._policy.attempts or not 0 <= pause_s < remaining_s:
            return None
        if setback == "busy" and not self._budget.withdraw():
            return None
        return pause_s
