"""The executor: groups of units on their way to workers, and values on their way back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass, replace
from typing import Any

from tlsteer._bars import UnitBar
from tlsteer._surface import Surface
from tlsteer.cluster._pool import Member, Pool, in_a_line
from tlsteer.cluster._schedule import TRIES, Schedule
from tlsteer.cluster._shipping import check_portable
from tlsteer.cluster._worker import Begun, Failed
from tlsteer.errors import DataError, StorageError, WorkerError
from tlsteer.measure import Measurement, Unfinished, costs_of

# After so many seconds without any worker there is a warning, and the wait goes on: a cluster may be growing.
_PATIENCE = 60.0
# States of units that take long come this often, from all workers together.
_TOLD_PER_SECOND = 20.0
_SHOWN = 3


class RayWorkers:
    """Runs requests on the workers of a pool; several requests may be under way at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def run(
        self, surface: Surface, request: Measurement, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, Any]]:
        """The number and value of each unit, as soon as it arrives.

        Raises:
            ModelError: a model that cannot be handed to workers (see `check_portable`).
            StorageError: what arrives can no longer be kept.
            WorkerError: workers do not start, or units failed too often; all others are done then.
        """
        check_portable(surface)
        costs = costs_of(request, surface.n_layers)
        under_way = _UnderWay(self._pool, surface, request, Schedule(units, costs, self._pool.n), unfinished)
        # A bar of steps that a request would show is one of units here, as steps are elsewhere.
        bar = UnitBar(costs.of, units, total=len(units),
                      desc=f"{request.what} ({self._pool.n} workers)", disable=not _shows_steps(request))  # fmt: skip
        try:
            for n_done, (unit, value) in enumerate(under_way.arriving(), start=1):
                yield unit, value
                bar.did(unit)
                if unfinished.overflows and n_done < len(units):
                    raise StorageError(
                        f"what workers find can no longer be written, so they were stopped after {n_done} of "
                        f"{len(units)} {request.what}; what was written is kept: make room, and start again"
                    )
        finally:
            bar.close()
            under_way.end()


class _UnderWay:
    """A request that is being run: who runs which of its units."""

    def __init__(
        self, pool: Pool, surface: Surface, request: Measurement, schedule: Schedule, unfinished: Unfinished
    ) -> None:
        self._pool, self._device, self._unfinished = pool, surface.device.type, unfinished
        self._model, self._request = pool.handed(surface), _put(request)
        self._schedule, self._n_units, self._is_hopeless = schedule, schedule.n_units, True
        self._flying: dict[Any, tuple[Member, dict[int, None]]] = {}

    def arriving(self) -> Iterator[tuple[int, Any]]:
        """Units and values until there are no more."""
        import ray

        while self._schedule or self._flying:
            self._pool.fill(self._device)
            self._hand_out()
            starting = [one.started for one in self._pool.members if not one.is_ready]
            ready, _ = ray.wait([*self._flying, *starting], num_returns=1, timeout=_PATIENCE)
            if not ready and not self._flying:
                self._pool.warn_of_waiting(self._device, _PATIENCE)
            for one in ready:
                if one not in self._flying:
                    self._pool.note_started(one)
                elif (arrived := self._take(one)) is not None:
                    yield arrived
        if self._schedule.given_up:
            raise self._given_up()

    def end(self) -> None:
        """Ends workers that have units left, which they would go on with for nobody."""
        for member, _ in self._flying.values():
            self._pool.drop(member)

    def _hand_out(self) -> None:
        busy = {member for member, _ in self._flying.values()}
        for member in self._pool.members:
            if self._schedule and member.is_ready and member not in busy:
                units = self._schedule.take()
                states = {unit: state for unit in units if (state := self._unfinished.get(unit)) is not None}
                pause = self._pool.n / _TOLD_PER_SECOND if self._unfinished.is_kept else None
                stream = member.begin(self._model, self._request, units, states, pause)
                self._flying[stream] = member, dict.fromkeys(units)

    def _take(self, stream: Any) -> tuple[int, Any] | None:
        """The unit that has arrived; None where a group has failed, or says how far it has come."""
        member, left = self._flying[stream]
        arrived = self._pool.next_of(stream, member)
        if isinstance(arrived, Begun):
            self._unfinished.put(arrived.unit, arrived.state)
            return None
        if isinstance(arrived, Failed):
            del self._flying[stream]
            if arrived.error is not None:
                raise arrived.error
            self._schedule.back([*left], arrived.said)
            if self._is_hopeless and len(self._schedule.given_up) >= TRIES:
                raise self._given_up()
            return None
        unit, value, said = arrived
        for text in said:
            warnings.warn(text, stacklevel=2)
        self._is_hopeless = False
        del left[unit]
        if not left:
            del self._flying[stream]
        return unit, value

    def _given_up(self) -> WorkerError:
        failed = self._schedule.given_up
        shown = "; ".join(f"unit {unit}: {why}" for unit, why in [*failed.items()][:_SHOWN])
        rest = "none was done" if self._is_hopeless else "all others are done"
        return WorkerError(f"{len(failed)} of {self._n_units} units failed {TRIES} times each, {rest}: {shown}")


def _shows_steps(request: Any) -> bool:
    return is_dataclass(request) and getattr(request, "progress", False)


def _put(request: Any) -> Any:
    import ray

    try:
        return ray.put(replace(request, progress=False) if _shows_steps(request) else request)
    except TypeError as error:
        raise DataError(f"{request.what} cannot be sent to workers: {in_a_line(error)}") from error
