"""The context inside which requests are run by workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from tlsteer._arguments import Count, Within, checked
from tlsteer.cluster._executor import RayWorkers
from tlsteer.cluster._pool import Needs, Pool
from tlsteer.errors import WorkerError
from tlsteer.measure import executing


@checked
@contextmanager
def workers(
    kind: Literal["ray"] = "ray",
    n: Count = 1,
    *,
    gpus_per_worker: Annotated[float, Within(0, 1)] | None = None,
    cpus_per_worker: Count = 1,
    address: str | None = None,
) -> Iterator[None]:
    """Inside the context, whatever splits into units is run by `n` workers, with the same results as without.

    Each worker is a process that is handed the model as it is here, once. Fits, sweeps, propensities, texts, side
    effects, transfer and studies split into units (docs/executors.md); what is one unit, such as a single fit, takes as
    long as before. Finished units are kept by this process alone, so `run_dir` may be on its own disk.

    Args:
        kind: "ray", which needs `pip install 'tlsteer[ray]'` here and on every machine of the cluster.
        n: how many workers.
        gpus_per_worker: of one GPU; by default 1 for a model on a GPU, else 0. With 0.5, two workers share one.
        cpus_per_worker: threads of each.
        address: "HOST:PORT" of a Ray cluster that this machine is part of, or "auto" for the one that runs here. By
            default one is started on this machine, and stopped at the end. Where Ray is connected already, that is
            used and left as it is.

    Raises:
        WorkerError: Ray is missing, does not start, or is not found at the address.

    >>> with ts.workers("ray", n=8):  # doctest: +SKIP
    ...     sweep = ts.sweep_layers(model, pairs, choices, run_dir="runs/sweep")
    """
    ray = _ray()
    is_own = not ray.is_initialized()
    if is_own:
        _connect(ray, address, n * cpus_per_worker)
    elif address is not None:
        raise WorkerError(f"Ray is connected already; leave out address={address!r}, or call ray.shutdown() first")
    pool = Pool(n, Needs(cpus_per_worker, gpus_per_worker))
    try:
        with executing(RayWorkers(pool)):
            yield
    finally:
        pool.close()
        if is_own:
            ray.shutdown()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unasked
    try:
        import ray
    except ImportError as error:
        raise WorkerError(f"Ray cannot be imported ({error}); run: pip install 'tlsteer[ray]'") from None
    return ray


def _connect(ray: Any, address: str | None, n_cpus: int) -> None:
    if address is not None and "://" in address:
        raise WorkerError(
            f"address={address!r} is of a client outside the cluster, to which units do not stream; start this on a "
            'machine of the cluster, with address="auto" or "HOST:PORT"'
        )
    here = {"address": "local", "num_cpus": n_cpus, "include_dashboard": False}
    try:
        ray.init(**(here if address is None else {"address": address}), logging_level="WARNING")
    except Exception as error:  # Ray raises whatever its parts do
        where = "on this machine" if address is None else f"at {address!r}"
        raise WorkerError(f"Ray does not run {where}: {' '.join(str(error).split())}") from error
