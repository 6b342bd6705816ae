"""Which units go out next: the most expensive first, in groups that become smaller, and again where they failed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from tlsteer.measure import Costs

# A unit that has failed so often alone is given up.
TRIES = 3
# So many units gain no more by what they share, and the process that hands them out notes each of a group.
_MOST = 1000


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
        each = np.fromiter(map(costs.of, units), float, len(units))
        self._units, self._n_out = np.array(units, int)[np.argsort(-each, kind="stable")], 0
        self._left = float(each.sum())
        self._again: deque[list[int]] = deque()
        self._failures: Counter[int] = Counter()
        self.given_up: dict[int, str] = {}

    def __bool__(self) -> bool:
        return bool(self._again) or self._n_out < self.n_units

    def take(self) -> list[int]:
        """The group that goes out next; empty where nothing waits."""
        if self._again:
            return self._again.popleft()
        # A group that costs less than what any group costs is not worth a run of its own.
        wanted, cost = max(self._left / (2 * self._n_workers), self._costs.shared), 0.0
        found: list[int] = []
        for unit in self._units[self._n_out : self._n_out + _MOST].tolist():
            if found and cost + self._costs.of(unit) > wanted:
                break
            found.append(unit)
            cost += self._costs.of(unit)
        self._n_out += len(found)
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
