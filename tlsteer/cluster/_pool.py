"""Actors of a Ray cluster that come and go, and the models that they are handed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from tlsteer._surface import Surface
from tlsteer.cluster._shipping import packed
from tlsteer.cluster._worker import Begun, Failed, Worker, check_versions
from tlsteer.errors import WorkerError

# So many starts may fail in a row.
_STARTS = 3
# So many values may wait for this process, which would hold them all; then the worker waits too.
_AHEAD = 100


@dataclass(frozen=True)
class Needs:
    """What one worker takes of the cluster.

    Attributes:
        cpus: threads.
        gpus: of one GPU; where None, one for a model on a GPU.
    """

    cpus: int
    gpus: float | None

    def options(self, device: str) -> dict[str, Any]:
        """The same for Ray, for a model on some kind of device."""
        gpus = self.gpus if self.gpus is not None else float(device == "cuda")
        if device == "cuda" and not gpus:
            raise WorkerError('the model is on "cuda", and workers have no GPU: leave out gpus_per_worker')
        return {"num_cpus": self.cpus, "num_gpus": gpus}


class Member:
    """One actor, from when it was asked for.

    Attributes:
        started: a reference to what it says when it is there.
        is_ready: whether it has said so.
    """

    def __init__(self, needs: Needs, device: str) -> None:
        import ray

        # One that dies is replaced by the pool, which knows what it was doing.
        actor: Any = ray.remote(Worker)
        actor = actor.options(max_restarts=0, max_task_retries=0, **needs.options(device))
        self.actor: Any = actor.remote(needs.cpus)
        self.started, self.is_ready = self.actor.versions.remote(), False

    def begin(self, model: Any, request: Any, units: list[int], states: Mapping[int, Any], pause: float | None) -> Any:
        """The stream of what it gives for some units; see `Worker.run`."""
        # In lists, references are not followed before a worker asks.
        stream = {"num_returns": "streaming", "_generator_backpressure_num_objects": _AHEAD}
        return self.actor.run.options(**stream).remote([model], [request], units, states, pause)


class Pool:
    """Workers, as many as are wanted.

    Args:
        n: how many.
        needs: of each.
    """

    def __init__(self, n: int, needs: Needs) -> None:
        self.n, self._needs = n, needs
        self.members: list[Member] = []
        self._failed_starts = 0
        # Ray keeps what it was given for as long as there are references.
        self._models: WeakKeyDictionary[Any, tuple[dict[str, str], Any]] = WeakKeyDictionary()

    def handed(self, surface: Surface) -> Any:
        """A reference to a model in the object store; it is put there anew where it has changed."""
        import ray

        about, (known, found) = surface.about(), self._models.get(surface.model, (None, None))
        if known != about:
            found = ray.put(packed(surface, about))
            self._models[surface.model] = about, found
        return found

    def fill(self, device: str) -> None:
        """Asks for workers in place of those that are missing."""
        while len(self.members) < self.n:
            self.members.append(Member(self._needs, device))

    def drop(self, member: Member) -> None:
        """Ends a worker, whatever it is doing."""
        import ray

        if member in self.members:
            self.members.remove(member)
        if ray.is_initialized():
            ray.kill(member.actor)

    def close(self) -> None:
        """Ends all workers."""
        for member in [*self.members]:
            self.drop(member)

    def note_started(self, started: Any) -> None:
        """Takes notice of a worker that is there, or that could not be started.

        Raises:
            WorkerError: it has other versions, or several could not be started.
        """
        import ray
        from ray.exceptions import RayError

        member = next((one for one in self.members if one.started is started), None)
        if member is None:
            return
        try:
            check_versions(ray.get(started))
            member.is_ready, self._failed_starts = True, 0
        except RayError as error:
            self.drop(member)
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                raise WorkerError(f"workers do not start: {in_a_line(error)}") from error

    def next_of(self, stream: Any, member: Member) -> tuple[int, Any, list[str]] | Begun | Failed:
        """What a worker gives next; a failure where it gives no more."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            arrived: Any = ray.get(next(stream))
            return arrived
        except StopIteration:
            return Failed("a worker ended before its units were done", None)
        except RayTaskError as error:  # what was sent cannot be read there
            return Failed(in_a_line(error.cause), None)
        except RayError as error:
            self.drop(member)
            return Failed(f"a worker died: {in_a_line(error)}", None)

    def warn_of_waiting(self, device: str, seconds: float) -> None:
        """Says that no worker is there, and what the cluster has."""
        import ray

        wanted = ", ".join(f"{n:g} {name[4:-1].upper()}" for name, n in self._needs.options(device).items())
        has = ", ".join(f"{n:g} {name}" for name, n in ray.cluster_resources().items() if name in ("CPU", "GPU"))
        warnings.warn(
            f"no worker has started in {seconds:g} s: each takes {wanted}, and the cluster has {has}", stacklevel=3
        )


def in_a_line(error: BaseException) -> str:
    """What an error says, without what Ray says about itself at length."""
    return " ".join(str(error).split())[:1000]
