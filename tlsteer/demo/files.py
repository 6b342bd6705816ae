"""The demo's files: picture, vectors, numbers and texts, each written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tlsteer._storage import write_atomically
from tlsteer.data import write_jsonl
from tlsteer.demo.experiment import Study
from tlsteer.demo.show import TITLES
from tlsteer.plot import plot_rates, plot_rates_by_multiplier


def write_studies(folder: Path, studies: Sequence[Study]) -> dict[Path, str]:
    """Writes the files of the demo; gives each path with what it holds."""
    found = f"{json.dumps(numbers(studies), indent=1)}\n"
    texts = [{"study": study.name} | asdict(text) for study in studies for text in study.texts]
    files = {
        write_atomically(folder / "demo.png", draw(studies)): "picture: the rates above, and over multipliers",
        write_atomically(folder / "rates.json", found.encode()): "numbers: every rate, and the settings",
        write_jsonl(folder / "texts.jsonl", texts): "every text with its verdicts",
    }
    for study in studies:
        path = study.fit.vector.save(folder / f"{study.name}.safetensors")
        files[path] = "steering vector (`tlsteer info` says more)"
    return files


def draw(studies: Sequence[Study]) -> bytes:
    """The picture as PNG: a row for each experiment, conditions on the left, multipliers on the right."""
    figure = Figure(figsize=(15, 4.2 * len(studies)), dpi=120, layout="constrained")
    for study, (left, right) in zip(studies, figure.subplots(len(studies), 2, squeeze=False), strict=True):
        plot_rates(study.at_one, left).set_title(TITLES[study.name], loc="left")
        plot_rates_by_multiplier(study.rates, right).set_title("The same over multipliers", loc="left")
    png = BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def numbers(studies: Sequence[Study]) -> dict[str, Any]:
    """Every rate and the settings, by experiment, as JSON values."""
    return {
        study.name: {
            "example": asdict(study.case),
            "vector": {**study.fit.vector.provenance.settings, "norm": study.fit.vector.norm},
            "losses_nats": study.fit.losses,
            "rates": study.rates.to_dict("records"),
            "other_examples": study.others.to_dict("records"),
        }
        for study in studies
    }
