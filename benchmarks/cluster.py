"""What workers cost and what they save: `python -m benchmarks.cluster`.

Beside times of the clock stand those of the processor, which say more on a machine that does other things too: with two
workers the work is done when the busier one has done its part. And beside the sweep's ratio stands the machine's own
limit: how much longer two plain processes take to multiply matrices than one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import psutil
import torch

import tlsteer as ts
from benchmarks.report import circumstances
from benchmarks.shapes import Lab
from tlsteer._surface import Surface
from tlsteer.measure import Answers, measured

# So many units to see whether memory grows with their number.
N_UNITS = (1_000, 100_000)
N_VECTORS, N_PROMPTS, N_TOKENS = 48, 6, 40
MULTIPLIERS = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
PRODUCTS = """
import sys, torch
from time import process_time
torch.set_num_threads(1)
one, other = torch.randn(160, 3072), torch.randn(3072, 768)
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
start = process_time()
for _ in range(600): one @ other
print(process_time() - start)
"""


@dataclass(frozen=True, eq=False)
class Empty:
    """A request whose units do nothing."""

    n: int

    what = "empty units"

    def __len__(self) -> int:
        return self.n

    def parts(self, unit: int) -> Any:
        return unit

    def run(self, surface: Surface, units: Sequence[int], unfinished: Any) -> Iterator[tuple[int, float]]:
        for unit in units:
            yield unit, float(unit)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--only", choices=["units", "sweep"], action="append", help="this part; may be given twice")
    parser.add_argument("--units", type=int, action="append", help="numbers of empty units (1,000 and 100,000)")
    parser.add_argument("--turns", type=int, default=2, help="of the sweep with each number of workers")
    parser.add_argument("--json", type=Path, default=Path("cluster.json"), help="where the figures are saved")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # As Ray would choose by itself, with a warning; and workers that are as polite as one process would be.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"}
    found: dict[str, Any] = {"circumstances": circumstances()}
    if "sweep" in (given.only or ["sweep"]):
        found["CPU seconds of products, one process and two"] = [_products(1), _products(2)]
        lab = Lab("gpt2")
        found["sweep"] = [_told(_swept(lab, n)) for _ in range(given.turns) for n in (1, 2)]
    if "units" in (given.only or ["units"]):
        found["empty units"] = [_told(_empty(n)) for n in given.units or N_UNITS]
    given.json.write_text(json.dumps(found, indent=1) + "\n")


def _told(figures: dict[str, float]) -> dict[str, float]:
    print(", ".join(f"{name}: {value:.4g}" for name, value in figures.items()), flush=True)
    return figures


def _empty(n: int) -> dict[str, float]:
    """Empty units through two workers into a folder."""
    surface, me = Surface(ts.load_model("organism")), psutil.Process()
    start = time.monotonic()
    with ts.workers("ray", n=2), tempfile.TemporaryDirectory() as folder:
        connected = time.monotonic()
        list(measured(surface, Empty(1), folder))
        first, before, used = time.monotonic(), me.memory_info().rss, sum(me.cpu_times()[:2])
        total, most = 0.0, before
        for number, value in enumerate(measured(surface, Empty(n), folder)):
            total += value
            if number % 100 == 0:
                most = max(most, me.memory_info().rss)
        end = time.monotonic()
        if total != n * (n - 1) / 2:
            raise RuntimeError(f"{n} units gave {total}")
        return {
            "units": n,
            "seconds until Ray runs": connected - start,
            "seconds until the first unit": first - connected,
            "milliseconds a unit": (end - first) / n * 1e3,
            "CPU milliseconds a unit, of this process": (sum(me.cpu_times()[:2]) - used) / n * 1e3,
            "MB that this process grew by": (most - before) / 1e6,
            "bytes a unit's file": next(Path(folder).iterdir()).stat().st_size,
        }


def _swept(lab: Lab, n_workers: int) -> dict[str, float]:
    """A layer sweep on so many workers, which have the model already."""
    surface, request = Surface(lab.steered), _sweep(lab, N_VECTORS, seed=0)
    with ts.workers("ray", n=n_workers):
        # Every worker is given some, so all have started and have seen the model before the time counts.
        warm = time.monotonic()
        list(measured(surface, _sweep(lab, 2 * n_workers, seed=1)))
        start, before = time.monotonic(), _used()
        list(measured(surface, request))
        end, used = time.monotonic(), [after - before.get(process, 0.0) for process, after in _used().items()]
    return {
        "workers": n_workers,
        "seconds to start": start - warm,
        "seconds": end - start,
        "CPU seconds of the busiest": max(used),
        "CPU seconds a unit": sum(used) / N_VECTORS,
    }


def _used() -> dict[int, float]:
    """The CPU seconds that each worker has used."""
    several = psutil.Process().children(recursive=True)
    named = [one for one in several if "".join(one.cmdline()[:1]).startswith("ray::Worker")]
    return {one.pid: sum(one.cpu_times()[:2]) for one in named}


def _sweep(lab: Lab, n_vectors: int, seed: int) -> Answers:
    """What a layer sweep asks: vectors at all layers in turn, at seven multipliers each."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randint(3, 1000, (N_PROMPTS, N_TOKENS), generator=draw).tolist()
    vectors = [ts.SteeringVector(torch.randn(lab.d_model, generator=draw), n % lab.n_layers) for n in range(n_vectors)]
    return Answers(rows, torch.tensor([[5, 6]] * N_PROMPTS), vectors, MULTIPLIERS)


def _products(n: int) -> float:
    """CPU seconds that the slower of n processes takes for the same products."""
    several = [
        subprocess.Popen([sys.executable, "-c", PRODUCTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(n)
    ]
    for one in several:
        cast(IO[str], one.stdout).readline()  # it is ready
    for one in several:
        cast(IO[str], one.stdin).write("\n")
        cast(IO[str], one.stdin).flush()
    return max(float(one.communicate()[0]) for one in several)


if __name__ == "__main__":
    # From the module of that name, which workers can import too.
    from benchmarks import cluster

    cluster.main()
