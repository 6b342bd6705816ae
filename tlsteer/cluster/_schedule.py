"""Which units go out next: the most expensive first, in groups that become smaller, and again where they failed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from tlsteer.measure import Costs

# A unit that has failed so often alone is given up.
TRIES = 3


class Schedule:
    """The units of a request that have not gone out yet.

    Neighbours go out together, because they share what they have in common; a group holds what is half of a worker's
    share of all that is left, so that all workers end at about the same time. A group that fails comes back in halves:
    so what makes it fail is found, and the rest goes on.

    Attributes:
        n_units: how many there are.
        given_up: why, by unit, of those that failed too often.
    """

    def __init__(self, units: Sequence[int], costs: Costs, n_workers: int) -> None:
        self._costs, self._n_workers, self.n_units = costs, n_workers, len(units)
        self._first = deque(sorted(units, key=lambda unit: -costs.of(unit)))
        self._left = sum(map(costs.of, units))
        self._again: deque[list[int]] = deque()
        self._failures: Counter[int] = Counter()
        self.given_up: dict[int, str] = {}

    def __bool__(self) -> bool:
        return bool(self._again or self._first)

    def take(self) -> list[int]:
        """The group that goes out next; empty where nothing waits."""
        if self._again:
            return self._again.popleft()
        # A group that costs less than what any group costs is not worth a run of its own.
        wanted, found, cost = max(self._left / (2 * self._n_workers), self._costs.shared), [], 0.0
        while self._first and (not found or cost + self._costs.of(self._first[0]) <= wanted):
            found.append(self._first.popleft())
            cost += self._costs.of(found[-1])
        self._left -= cost
        return found

    def back(self, units: Sequence[int], why: str) -> None:
        """Takes back the units of a group that failed before they were done."""
        if len(units) > 1:
            middle = len(units) // 2
            # In front, so that a single unit that fails is found before much else is tried.
            self._again.extendleft([list(units[middle:]), list(units[:middle])])
            return
        (unit,) = units
        self._failures[unit] += 1
        if self._failures[unit] < TRIES:
            self._again.appendleft([unit])
        else:
            self.given_up[unit] = why
