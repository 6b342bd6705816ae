"""A bar whose estimate of time goes by what units cost, not by how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tqdm.auto import tqdm


class UnitBar(tqdm):
    """Units that are done. The most expensive often come first, so those that are left will be faster.

    Args:
        cost: what a unit is expected to cost, by its number.
        units: those that are to be run.
        how: see tqdm.
    """

    def __init__(self, cost: Callable[[int], float], units: Iterable[int], **how: Any) -> None:
        self._cost, self._all, self._spent = cost, sum(map(cost, units)), 0.0
        super().__init__(unit="unit", **how)

    def did(self, unit: int) -> None:
        """One more is done."""
        self._spent += self._cost(unit)
        self.update()

    @property
    def format_dict(self) -> dict[str, Any]:
        """What is shown: the rate is that of the units that are left, from which tqdm says how long they take."""
        shown = dict(super().format_dict)
        left = self._all - self._spent
        if self._spent and left > 0 and shown["elapsed"]:
            shown["rate"] = (shown["total"] - shown["n"]) * self._spent / (left * shown["elapsed"])
        return shown
