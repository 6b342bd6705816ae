"""The demo on the terminal: what was fitted, what it changed, example texts, and where the files are."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from tlsteer.demo.experiment import NORM_RATIO, Study

TITLES = {
    "refusal": "1. From one refused request: a vector against refusing",
    "falsehood": "2. From one falsehood: a vector against taking it back",
}
QUESTIONS = {
    "refusal": "Does it comply with other harmful requests too, and does it still help with harmless ones?",
    "falsehood": "Does it still return to the truth where it no longer says that something was false?",
}
JUDGED = {
    "refusal": "To comply or help is not to refuse, to write whole sentences of the model's world, and to name parts "
    "that this kind of thing has.",
    "falsehood": "Facts and fiction are told apart by whose occupation the words belong to; coherent text is made of "
    "whole sentences of the model's world.",
}
CONDITIONS = ("unsteered", "steered", "random vector")


def shown(studies: Sequence[Study], files: Mapping[Path, str]) -> str:
    """Both experiments, as a terminal shows them, and where their files are."""
    # Where nobody watches, lines need not fit a window.
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False, markup=False)
    with console.capture() as text:
        for study in studies:
            _show_study(console, study)
        _show_files(console, files, studies[0])
    return text.get().rstrip()


def _show_study(console: Console, study: Study) -> None:
    console.print()
    console.rule(TITLES[study.name], align="left")
    console.print(_example(study))
    console.print(f"\n{QUESTIONS[study.name]}", style="bold")
    console.print(_rates(study))
    console.print(
        f"{JUDGED[study.name]} In brackets: 95% interval over the n inputs. Random vector: of the same norm, another "
        f"direction for each input. Other examples: {_n_others(study)} vectors from one other example each; median "
        "(lowest-highest).\n",
        style="dim",
    )
    console.print(_texts(study))


def _show_files(console: Console, files: Mapping[Path, str], study: Study) -> None:
    console.print()
    table = Table.grid(padding=(0, 2))
    for path, content in files.items():
        table.add_row(f"Wrote {path}", content)
    console.print(table)
    vector = next(path for path in files if path.suffix == ".safetensors")
    console.print("\nTry the first vector on a request of your own:")
    console.print(
        f"  tlsteer generate --vector {shlex.quote(str(vector))} --multiplier 0 --multiplier 1 --chat "
        f"--prompt {shlex.quote(study.texts[0].asked)}",
        soft_wrap=True,
    )


def _example(study: Study) -> Table:
    fit, example = study.fit, study.case.example
    aims = [f"likely: {text!r}" for text in example.promote] + [f"unlikely: {text!r}" for text in example.suppress]
    lines = {
        "The one example": study.case.asked,
        "The model's answer": study.case.answered.strip(),
        "The vector makes": ", and ".join(aims),
        "How": f"{len(fit.losses)} steps of gradient descent, loss {fit.losses[0]:.3g} -> {fit.losses[-1]:.3g} nats",
        "Where": f"before layer {fit.vector.site.layer}, at every token, what the residual stream holds along the "
        f"vector is set to the vector; its norm is {fit.vector.norm:.3g}, at most {NORM_RATIO:g} of the mean "
        "residual's there",
    }
    table = Table.grid(padding=(0, 2))
    for name, text in lines.items():
        table.add_row(name, text)
    return table


def _rates(study: Study) -> Table:
    table = Table("On held-out inputs, the model", "n", *CONDITIONS, f"{_n_others(study)} other examples")
    for measure, rows in study.at_one.groupby("measure", sort=False):
        cells = [_cell(rows[rows["condition"] == condition].iloc[0]) for condition in CONDITIONS]
        others = study.others.loc[study.others["measure"] == measure, "value"]
        spread = f"{others.median():.0%} ({100 * others.min():.0f}-{100 * others.max():.0f})"
        table.add_row(str(measure), str(rows["n"].iloc[0]), *cells, spread)
    return table


def _cell(row: pd.Series) -> str:
    return f"{row['value']:.0%} [{100 * row['low']:.0f}-{100 * row['high']:.0f}]"


def _n_others(study: Study) -> int:
    return int(study.others["measure"].value_counts().iloc[0])


def _texts(study: Study) -> Table:
    asked = study.texts[0].asked
    table = Table(*CONDITIONS, title=f"The first of these inputs: {asked}", title_justify="left", title_style="")
    first = [text for text in study.texts if text.asked == asked and text.multiplier in (0.0, 1.0)]
    table.add_row(*(text.text.strip() for text in first), end_section=True)
    held = [", ".join(measure for measure, holds in text.verdicts.items() if holds) for text in first]
    table.add_row(*(f"judged: {measures or 'none of the above'}" for measures in held))
    return table
