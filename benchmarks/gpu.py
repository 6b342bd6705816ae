"""On a GPU: steps a second for 1 and 24 vectors, tokens a second steered and not, peak memory.

`python -m benchmarks.gpu` runs the shape of Gemma 2 2B in bfloat16 wherever CUDA is, timed with events of the
device; `--shape tiny --device cpu` shows on any machine that it runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.oneshot import Task
from benchmarks.report import circumstances
from benchmarks.shapes import Lab, text
from tlsteer import OneShot, SteeringVector, fit_many, generate

N_PROMPTS, N_PROMPT = 64, 48


def main() -> None:
    given = _arguments()
    lab = Lab(given.shape, given.device, getattr(torch, given.dtype))
    figures = measured(lab, given.steps, given.new_tokens, given.repetitions)
    device = torch.cuda.get_device_name() if lab.device == "cuda" else "CPU"
    table = Table(title=f"{given.shape}, {given.dtype}, {device}")
    for name in ("", "median", "best", "peak MB above the model"):
        table.add_column(name, justify="right" if name else "left")
    for name, one in figures.items():
        table.add_row(name, f"{one['median']:.1f}", f"{one['best']:.1f}", f"{one['peak_mb']:.0f}")
    Console().print(table)
    saved = {"device": device, "shape": given.shape, "dtype": given.dtype, "figures": figures} | circumstances()
    given.json.write_text(json.dumps(saved, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--shape", choices=["gemma-2b", "gemma", "gpt2", "tiny"], default="gemma-2b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--steps", type=int, default=50, help="of each optimisation")
    parser.add_argument("--new-tokens", type=int, default=64, help="for each of 64 prompts")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("benchmarks-gpu.json"))
    return parser.parse_args()


def measured(lab: Lab, steps: int, n_new: int, repetitions: int) -> dict[str, dict[str, float]]:
    """For each kind of work: a second, and the peak memory."""
    model, middle = lab.steered, lab.n_layers // 2
    prompts = [text(N_PROMPT, i) for i in range(N_PROMPTS)]
    vector = SteeringVector(torch.randn(lab.d_model, generator=torch.Generator().manual_seed(0)), middle)

    def fit(n_vectors: int) -> Callable[[int], Any]:
        tasks = [Task.of(middle, number, number // 2, bool(number % 2)) for number in range(n_vectors)]

        def run(n_steps: int) -> Any:
            # No tolerance: every step is run, whatever the loss does.
            recipes = [OneShot(t.example, t.layer, steps=n_steps, tolerance=1e-30, seed=t.seed) for t in tasks]
            return fit_many(model, recipes, progress=False)

        return run

    def write(steering: Any) -> Callable[[int], Any]:
        return lambda n: generate(model, prompts, steering, max_new_tokens=n, batch_size=N_PROMPTS, progress=False)

    return {
        "1 vector, steps a second": rate(lab, fit(1), steps, 1, repetitions),
        "24 vectors, steps of all a second": rate(lab, fit(24), steps, 1, repetitions),
        "unsteered tokens a second": rate(lab, write(()), n_new, N_PROMPTS, repetitions),
        "steered tokens a second": rate(lab, write(vector), n_new, N_PROMPTS, repetitions),
    }


def rate(lab: Lab, run: Callable[[int], Any], n: int, each: int, repetitions: int) -> dict[str, float]:
    """How many a second after the first: what has to be set up, or the prompt, is the difference of two runs."""
    run(2)
    before = torch.cuda.memory_allocated() if lab.device == "cuda" else 0
    if lab.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rates = [each * (n - 1) / (seconds(lab, run, n) - seconds(lab, run, 1)) for _ in range(repetitions)]
    peak = torch.cuda.max_memory_allocated() - before if lab.device == "cuda" else float("nan")
    return {"median": median(rates), "best": max(rates), "peak_mb": peak / 2**20}


def seconds(lab: Lab, run: Callable[[int], Any], n: int) -> float:
    if lab.device != "cuda":
        start = time.perf_counter()
        run(n)
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run(n)
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1000


if __name__ == "__main__":
    main()
