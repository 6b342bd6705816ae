"""Peak memory above the model, of a fit in a process of its own.

The operating system counts: the most this process had in memory during the fit, less what it had before. So the
allocator's slack is in the number, and the model is not. Linux alone lets a process begin this count anew.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.oneshot import Task, one_by_one
from benchmarks.shapes import Lab
from tlsteer import OneShot, fit_many

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Memory:
    """Peak MB above the model.

    Attributes:
        one: for one vector.
        each_more: for each further vector of 24 in one batch.
        loop: the plain loop, for one vector.
        loop_frozen: the same with frozen parameters.
    """

    one: float
    each_more: float
    loop: float
    loop_frozen: float


def memory(shape: str) -> Memory | None:
    """None where the operating system does not count."""
    if not _CLEAR.exists():
        print("memory is measured on Linux only")
        return None
    one, many, loop, frozen = (in_a_process(shape, *case) for case in CASES)
    return Memory(one, (many - one) / 23, loop, frozen)


CASES = (("tlsteer", 1), ("tlsteer", 24), ("loop", 1), ("frozen", 1))


def in_a_process(shape: str, contender: str, n_vectors: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", shape, contender, str(n_vectors)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def work(lab: Lab, contender: str, n_vectors: int) -> Callable[[], object]:
    middle = lab.n_layers // 2
    tasks = [Task.of(middle, number, number // 2, bool(number % 2)) for number in range(n_vectors)]
    if contender == "tlsteer":
        recipes = [OneShot(task.example, task.layer, steps=3, seed=task.seed) for task in tasks]
        model = lab.steered
        return lambda: fit_many(model, recipes, progress=False)
    lab.rival_bridge.requires_grad_(contender == "loop")
    return lambda: [one_by_one(lab, task, 3) for task in tasks]


def in_memory(field: str) -> float:
    """MB, by a field of the process's status."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape")
    parser.add_argument("contender", choices=["tlsteer", "loop", "frozen"])
    parser.add_argument("n_vectors", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    # What libraries load at their first use is not the fit's.
    work(Lab("tiny"), given.contender, 1)()
    fit = work(Lab(given.shape), given.contender, given.n_vectors)
    # What loading the model freed would be used again unseen.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = in_memory("VmRSS")
    _CLEAR.write_text("5")  # the peak so far, which loading the model made, is forgotten
    fit()
    print(in_memory("VmHWM") - before)


if __name__ == "__main__":
    main()
