"""What a worker does: it loads a model once, and runs units of requests on it."""

from __future__ import annotations

import copy
import gc
import platform
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from queue import Queue
from threading import Thread
from typing import Any

import torch

from tlsteer._surface import Surface
from tlsteer.cluster._shipping import unpacked
from tlsteer.errors import TlsteerError, WorkerError
from tlsteer.measure import Measurement, Unfinished

# Two are one study's: its model, and the one it compares with.
_MODELS, _REQUESTS = 2, 8
_VERSIONED = ("tlsteer", "torch", "transformers", "transformer-lens")
# What a request bounds its memory by, and what "as many as pay" of it counts as, when it is halved.
_BATCHES = {"batch_size": 256, "max_batch_tokens": 4096}


@dataclass(frozen=True)
class Failed:
    """How a group of units ended before all were done.

    Attributes:
        said: the error in a line.
        error: the same where it is one of tlsteer's own, which would be raised again by every worker.
    """

    said: str
    error: TlsteerError | None


@dataclass(frozen=True)
class Begun:
    """How far a unit has come that takes long.

    Attributes:
        unit: its number.
        state: see `Unfinished`.
    """

    unit: int
    state: Any


class _Told(Unfinished):
    """States of units that are told to the process that keeps them."""

    def __init__(self, tell: Callable[[Any], None], states: Mapping[int, Any], pause: float | None) -> None:
        self._tell, self._states, self._pause = tell, dict(states), pause
        self._last = time.monotonic()

    @property
    def is_kept(self) -> bool:
        """Whether it is time for them."""
        return self._pause is not None and time.monotonic() - self._last >= self._pause

    def get(self, unit: int) -> Any:
        """The last state of a unit, from wherever it was begun."""
        return self._states.get(unit)

    def put(self, unit: int, state: Any) -> None:
        """Tells the state of a unit."""
        self._states[unit], self._last = state, time.monotonic()
        if self._pause is not None:
            self._tell(Begun(unit, state))


class Worker:
    """Runs units of requests in a process of its own.

    Args:
        n_threads: of torch.
    """

    def __init__(self, n_threads: int) -> None:
        import ray

        torch.set_num_threads(n_threads)
        self._model = lru_cache(_MODELS)(lambda sent: unpacked(ray.get(sent)))
        # Arrays that lie in the object store cannot be written, and what runs a request need not know.
        self._request = lru_cache(_REQUESTS)(lambda sent: copy.deepcopy(ray.get(sent)))
        self._halved: dict[Any, int] = {}

    def versions(self) -> dict[str, str]:
        """Of the packages that results depend on."""
        return versions()

    def run(
        self,
        model: Sequence[Any],
        request: Sequence[Any],
        units: Sequence[int],
        states: Mapping[int, Any],
        pause: float | None = None,
    ) -> Iterator[tuple[int, Any, list[str]] | Begun | Failed]:
        """Each unit with its value and what was warned of meanwhile; last, where it failed, how.

        Args:
            model: a reference to a `Packed`, in a list, so that it is fetched where it is not here.
            request: likewise, to a request.
            units: which of its units.
            states: of units that were begun elsewhere.
            pause: states of units that take long are told between the others, so many seconds apart; not where None.
        """
        told: Queue[Any] = Queue()
        is_dropped = False

        def tell(one: Any) -> None:
            told.put(one)
            told.join()  # it has left this process before the work goes on
            if is_dropped:
                raise GeneratorExit

        def work() -> None:
            with warnings.catch_warnings(record=True) as caught:
                try:
                    unfinished = _Told(tell, states, pause)
                    for unit, value in self._values(self._model(model[0]), request[0], units, unfinished):
                        said = [f"{one.message}" for one in caught]
                        caught.clear()
                        tell((unit, value, said))
                except TlsteerError as error:
                    told.put(Failed(str(error), type(error)(str(error))))
                except Exception as error:  # what a library or a user's function raises
                    place = traceback.extract_tb(error.__traceback__)[-1]
                    told.put(Failed(f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})", None))
                except GeneratorExit:
                    pass  # nobody takes what is found
                finally:
                    told.put(None)

        # In a thread of its own, because a unit that is under way cannot yield.
        Thread(target=work, daemon=True).start()
        while (one := told.get()) is not None:
            try:
                yield one
            except GeneratorExit:
                is_dropped = True
                raise
            finally:
                told.task_done()

    def _values(
        self, surface: Surface, sent: Any, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, Any]]:
        request, left = self._request(sent), dict.fromkeys(units)
        while left:
            halvings = self._halved.get(sent, 0)
            smaller, some = _halved(request, halvings), list(islice(left, max(1, len(left) >> halvings)))
            try:
                for unit, value in smaller.run(surface, some, unfinished):
                    del left[unit]
                    yield unit, value
                continue
            except Exception as error:
                if not _is_memory(error) or not _shrinks(request, halvings, len(left)):
                    raise
                times = 2 ** (halvings + 1)
                warnings.warn(
                    f"memory ran out on {platform.node()!r}: batches are 1/{times} there ({error})", stacklevel=2
                )
            # Here nothing holds what filled the memory any more.
            self._halved = {sent: halvings + 1}
            gc.collect()
            if surface.device.type == "cuda":
                torch.cuda.empty_cache()


def versions() -> dict[str, str]:
    """Of the packages that results depend on, in this process."""
    return {name: version(name) for name in _VERSIONED}


def check_versions(theirs: Mapping[str, str]) -> None:
    """Raises WorkerError where a worker has another version of what results depend on."""
    for name, here in versions().items():
        if theirs[name] != here:
            raise WorkerError(
                f"a worker has {name} {theirs[name]} and this process {here}; install the same everywhere"
            )


def _is_memory(error: Exception) -> bool:
    # PyTorch has no class of its own for a processor's memory.
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("allocate memory" in said or "not enough memory" in said)
    )


def _halved(request: Any, times: int) -> Measurement:
    """The request with smaller batches, on which values do not depend."""
    if not times:
        return request
    sizes = {name: getattr(request, name) or usual for name, usual in _BATCHES.items() if hasattr(request, name)}
    return replace(request, **{name: max(1, size >> times) for name, size in sizes.items()})


def _shrinks(request: Any, times: int, n_units: int) -> bool:
    """Whether there is something that can be halved once more."""
    now, then = (_halved(request, one) for one in (times, times + 1))
    return n_units >> times > 1 or any(getattr(now, name, None) != getattr(then, name, None) for name in _BATCHES)
