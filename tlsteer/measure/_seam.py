"""The seam between what is asked of a model and where it is run.

A request is a plain description of work that splits into independent units. `measured` gives the value of every unit:
those that a store holds already are read from it, the others are run by the executor in force and kept as they arrive.
Analyses, evaluations and studies ask; they do not know where or how a request is run.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from tlsteer._arguments import checked
from tlsteer._bars import UnitBar
from tlsteer._keys import key_of
from tlsteer._store import Store, store_of
from tlsteer._surface import Surface


@runtime_checkable
class Measurement(Protocol):
    """Work on a model as data alone: it can be sent to another process.

    Attributes:
        what: its units, in a word, for progress bars.

    >>> isinstance(Residuals(rows, [Site(4)], "all"), Measurement)
    True
    """

    @property
    def what(self) -> str: ...

    def __len__(self) -> int:
        """How many units it has."""
        ...

    def parts(self, unit: int) -> Any:
        """All that the value of a unit depends on besides the model, for its key (see `key_of`)."""
        ...

    def run(self, surface: Surface, units: Sequence[int], unfinished: Unfinished) -> Iterator[tuple[int, Any]]:
        """Units of the request run on a model that is here, in any order: each unit's number and value.

        A value is made of JSON values and numpy arrays (see `Store`).
        """
        ...


@dataclass(frozen=True)
class Costs:
    """What is expected of units before they are run, in numbers that are comparable within one request.

    Attributes:
        each: the cost of every unit; that of all is the same where None.
        shared: what any run of units costs besides, however many it runs.

    >>> Costs([1.0, 3.0], shared=0.5).of(1)
    3.0
    """

    each: Sequence[float] | None = None
    shared: float = 0.0

    def of(self, unit: int) -> float:
        """The cost of a unit."""
        return 1.0 if self.each is None else self.each[unit]


@runtime_checkable
class Costed(Protocol):
    """A request that knows what its units cost, so that executors hand out the most expensive first.

    >>> isinstance(Residuals(rows, [Site(4)], "all"), Costed)
    """

    def costs(self, n_layers: int) -> Costs:
        """What its units cost on a model of that many layers."""
        ...


@checked
def costs_of(request: Measurement, n_layers: int) -> Costs:
    """What a request says that its units cost; the same for each where it says nothing.

    >>> costs = costs_of(Residuals(rows, [Site(1), Site(6)], "all"), n_layers=8)
    >>> costs.of(0) <= costs.of(1)
    True
    """
    return request.costs(n_layers) if isinstance(request, Costed) else Costs()


@runtime_checkable
class Executor(Protocol):
    """What runs requests. docs/executors.md says what one has to do.

    >>> isinstance(Local(), Executor)
    True
    """

    def run(
        self, surface: Surface, request: Measurement, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, Any]]:
        """The number and value of each of these units, as soon as it is done, in any order."""
        ...


class Local:
    """Runs requests in this process, on the model that was given.

    >>> with executing(Local()):
    ...     means = list(measured(surface, Residuals(rows, [Site(4)], "all")))
    """

    def run(
        self, surface: Surface, request: Measurement, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, Any]]:
        """What the request's own `run` gives."""
        return request.run(surface, units, unfinished)


_executor: ContextVar[Executor] = ContextVar("executor", default=Local())  # noqa: B039 # it has no state


@checked
@contextmanager
def executing(executor: Executor) -> Iterator[None]:
    """Inside the context, requests are run by this executor.

    >>> with executing(Local()):
    ...     curve = propensity(model, vector, choices, [-1, 0, 1])
    """
    token = _executor.set(executor)
    try:
        yield
    finally:
        _executor.reset(token)


def runs_here() -> bool:
    """Whether requests are run in this process."""
    return type(_executor.get()) is Local


class Unfinished:
    """States of units that take long, kept so that a unit that was cut short can be resumed.

    >>> work = Work(surface, Residuals(rows, [Site(4)], "all"))
    """

    def __init__(self, store: Store, key: Callable[[int], str]) -> None:
        self._store, self._key = store, key

    @property
    def is_kept(self) -> bool:
        """Whether states outlive this process."""
        return self._store.folder is not None

    @property
    def overflows(self) -> bool:
        """Whether values could not be written, and are in memory alone."""
        return self._store.overflows

    def get(self, unit: int) -> Any:
        """The last state of a unit; None for one that was never begun."""
        return self._store.get(_state(self._key(unit)))

    def put(self, unit: int, state: Any) -> None:
        """Keeps the state of a unit, in place of an earlier one."""
        self._store.put(_state(self._key(unit)), state)

    def drop(self, unit: int) -> None:
        """Forgets the state of a unit that is done."""
        self._store.drop(_state(self._key(unit)))


def _state(key: str) -> str:
    return f"{key}-unfinished"


@contextmanager
def _torch_as_it_comes() -> Iterator[None]:
    """Values do not depend on what the caller has set: gradients can be taken, and new tensors are float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False):
            yield
    finally:
        torch.set_default_dtype(before)


class Work:
    """A request to a model, and the store that keeps its units.

    Args:
        surface: the model.
        request: what is asked.
        store: where values are kept, or its folder; in memory where None.

    >>> work = Work(surface, Residuals(rows, [Site(3), Site(4)], "all"), "kept")
    >>> len(list(work.values())), len(work.finished())
    (2, 2)
    """

    def __init__(self, surface: Surface, request: Measurement, store: Store | str | Path | None = None) -> None:
        self._surface, self._request = surface, request
        self._store = store_of(store)
        model = {name: value for name, value in surface.about().items() if name != "name"}
        keys = (key_of(type(request).__name__, model, request.parts(unit)) for unit in range(len(request)))
        # There may be a great many units, so of each as little as can be is held.
        self._keys = np.fromiter(keys, "S32", count=len(request))

    def finished(self) -> dict[int, Any]:
        """The values that the store holds, by the number of their unit."""
        kept = ((unit, self._store.get(self._key(unit))) for unit in range(len(self._keys)))
        return {unit: value for unit, value in kept if value is not None}

    def values(self, progress: bool = False) -> Iterator[Any]:
        """The value of every unit, in order; what is missing is run, and kept as it arrives."""
        first = np.unique(self._keys, return_index=True)[1]
        missing = array("q", (unit for unit in map(int, np.sort(first)) if self._key(unit) not in self._store))
        arriving, done, what = self._arriving(missing), len(first) - len(missing), self._request.what
        costs = costs_of(self._request, self._surface.n_layers)
        with UnitBar(costs.of, missing, total=len(first), initial=done, desc=what, disable=not progress) as bar:
            for unit in range(len(self._keys)):
                while (value := self._store.get(self._key(unit))) is None:
                    # What was kept and has been damaged since is not among those on their way.
                    arrived = next(arriving, None)
                    bar.did(next(self._arriving([unit])) if arrived is None else arrived)
                yield value

    def _arriving(self, missing: Sequence[int]) -> Iterator[int]:
        """Runs what is missing and keeps each value as it arrives; the number of its unit."""
        if not missing:
            return
        unfinished = Unfinished(self._store, self._key)
        running = _executor.get().run(self._surface, self._request, missing, unfinished)
        while True:
            with _torch_as_it_comes():  # only while units run, not while the caller has the turn
                arrived = next(running, None)
            if arrived is None:
                return
            unit, value = arrived
            self._store.put(self._key(unit), value)
            unfinished.drop(unit)
            yield unit

    def _key(self, unit: int) -> str:
        return self._keys[unit].decode()


@checked
def measured(
    surface: Surface, request: Measurement, store: Store | str | Path | None = None, *, progress: bool = False
) -> Iterator[Any]:
    """The value of every unit of a request, in order (see `Work`).

    >>> means = list(measured(surface, Residuals(rows, [Site(3), Site(4)], "all"), "kept"))
    >>> len(means)
    2
    """
    return Work(surface, request, store).values(progress)
