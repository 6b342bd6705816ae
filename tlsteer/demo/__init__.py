"""The demo: two vectors from one example each, on the embedded model, in tables, texts and a picture."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from tlsteer._storage import writable_folder
from tlsteer.demo import falsehood, refusal
from tlsteer.demo.experiment import Study, run_study
from tlsteer.demo.files import numbers, write_studies
from tlsteer.demo.show import shown
from tlsteer.models import load_model

__all__ = ["run_demo", "run_studies"]


def run_demo(output: Path, seed: int = 0, n_inputs: int = 100, progress: bool = True) -> tuple[str, dict[str, Any]]:
    """Runs both experiments and writes their files into a folder; gives what it shows, in words and as JSON values."""
    writable_folder(output)
    # The model is too small for more, and the number of cores should not change the last digits.
    torch.set_num_threads(1)
    waiting = Console(stderr=True).status("Fitting vectors and generating texts (about a minute) ...")
    with waiting if progress else nullcontext():
        studies = run_studies(seed, n_inputs)
    files = write_studies(output, studies)
    return shown(studies, files), numbers(studies) | {"files": {str(path): what for path, what in files.items()}}


def run_studies(seed: int = 0, n_inputs: int = 100, n_cases: int = 7) -> list[Study]:
    """Both experiments.

    Args:
        seed: of the choice of examples and inputs, the start of the fits, and the random vectors.
        n_inputs: held-out inputs of each kind.
        n_cases: vectors of each experiment: the one that is shown, and those from other examples to compare it with.
    """
    model = load_model("organism")
    return [
        run_study(model, name, task.cases(model, n_cases, seed), task.inputs(model, n_inputs, seed), seed)
        for name, task in (("refusal", refusal), ("falsehood", falsehood))
    ]
