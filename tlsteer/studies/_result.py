"""What a study gives: findings alongside the paper's, and everything they can be checked with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pandas as pd

from tlsteer._arguments import checked
from tlsteer._references import BIBTEX
from tlsteer._results import Result
from tlsteer._storage import inside
from tlsteer.errors import DataError
from tlsteer.runs._config import FILE as CONFIG
from tlsteer.runs._config import read_config, write_config
from tlsteer.runs._kept import find_kept, keep, load_kept
from tlsteer.stats import Estimate
from tlsteer.studies._agreement import OPEN, Agreement, Claimed, against
from tlsteer.vectors import SteeringVector

_RESULT, _IN_FILES = "result", ("tables", "data", "texts", "vectors")
# What a page shows of a table of texts: these two columns, `condition`, and the rest as labels.
_TEXT_COLUMNS = ("prompt", "condition", "text")


@checked
@dataclass(frozen=True)
class Finding:
    """A measured number and the paper's.

    Attributes:
        measure: what was measured, e.g. "harmful requests served (ASR)".
        condition: under what, e.g. "promotion, best of 12 vectors" or "unsteered".
        ours: the number with its interval and n.
        paper: the paper's figure in words, e.g. "96.9% (Gemma-2-2B-it)"; empty where it has none.
        unit: "share" for one that reads as a percentage, else what the number is in, e.g. "nats".
        note: what a reader has to know, e.g. that the best vector was chosen on these inputs.
        claimed: the range that the paper leaves for this number, None for an open end: `(0.9, 0.98)` or `(0.4, 0.4)`
            for a figure, `(0.5, None)` for "most", `(None, 0)` for "negative".
        untested: why the paper's figure cannot be tested here, where it cannot.

    >>> finding = Finding("requests served", "steered", stats.rate(91, 100), paper="96.9%", unit="share")
    >>> StudyResult("mine", "Does it serve them?", [finding]).findings[0].ours.n
    100
    """

    measure: str
    condition: str
    ours: Estimate
    paper: str = ""
    unit: str = ""
    note: str = ""
    claimed: Claimed | None = None
    untested: str = ""

    @property
    def agreement(self) -> Agreement:
        """Whether this says what the paper says: "agree", "differ" or "cannot be tested here".

        A figure agrees where our interval meets it, a claim open on one side where our whole interval lies within.
        Empty where the paper says nothing of it, "not compared" where nobody said what it would take.
        """
        if not self.paper:
            return ""
        if self.untested:
            return "cannot be tested here"
        return "not compared" if self.claimed is None else against(self.ours, self.claimed)

    @property
    def reason(self) -> str:
        """Why the paper's figure cannot be tested here; empty where it can."""
        if self.agreement != "cannot be tested here":
            return ""
        return self.untested or ("undefined" if math.isnan(self.ours.value) else OPEN)

    def __str__(self) -> str:
        paper = f"; paper: {self.paper}: {self.agreement}" + f" ({self.reason})" * bool(self.reason)
        ours = f"{self.measure}, {self.condition}: {written(self.ours, self.unit)} (n={self.ours.n})"
        return ours + paper * bool(self.paper)


@checked
@dataclass(frozen=True)
class Picture:
    """A picture that a page draws: which function of `tlsteer.plot` on which data.

    Attributes:
        title: above it.
        draw: the function's name, e.g. "plot_rates".
        data: the name of the table or the data it takes first.
        caption: what it shows, and what not.
        options: further arguments, as JSON values.

    >>> Picture("Rates", "plot_rates", "Rates").draw
    'plot_rates'
    """

    title: str
    draw: str
    data: str
    caption: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StudyResult(Result):
    """What a study found and what a reader needs to judge and repeat it.

    Attributes:
        name: of the study.
        question: what it asks.
        headline: what was found, in one sentence.
        answer: the same in more words, with the numbers it stands on and what it does not show.
        departures: where the study departs from the papers, one sentence each.
        setup: the design, a line each: by name, in words.
        findings: our numbers alongside the paper's; each measure once under each condition.
        tables: by title; a page shows all of them.
        data: what pictures are drawn from and no table holds, by name: of any kind that a run keeps.
        pictures: to draw from the tables and the data.
        texts: columns prompt, condition and text; every other column is a label that texts can be filtered by. The
            first four conditions are shown at first, so put the baselines among them.
        vectors: by name.
        warnings: what may mislead.
        command: that repeats the study.
        references: keys of `references.BIBTEX`.
        config: of the run, `RunDirectory.config`.

    Raises:
        DataError: a finding twice, a picture of data that is not there, texts without their columns, or an unknown
            reference.

    >>> finding = Finding("requests served", "steered", stats.rate(9, 10), unit="share")
    >>> rates = pd.DataFrame({"rate": [0.9]})
    >>> result = StudyResult("mine", "Does it serve them?", [finding], tables={"Rates": rates})
    >>> result.save("runs/mine")
    >>> StudyResult.load("runs/mine").findings == [finding]
    True
    """

    name: str
    question: str
    findings: list[Finding]
    headline: str = ""  # pyright: ignore[reportIncompatibleMethodOverride] # kept here, where others compute it
    answer: str = ""
    departures: list[str] = field(default_factory=list)
    setup: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    texts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(_TEXT_COLUMNS)))
    vectors: Mapping[str, SteeringVector] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    command: str = ""
    references: list[str] = field(default_factory=list)
    config: Mapping[str, Any] = field(default_factory=dict)

    _next = ".findings has each number beside the paper's, .texts every text; the run's report.html is the page."

    def __post_init__(self) -> None:
        known: set[tuple[str, str]] = set()
        for one in self.findings:
            if (one.measure, one.condition) in known:
                raise DataError(f"the finding {one.measure!r}, {one.condition!r} is there twice; name them apart")
            known.add((one.measure, one.condition))
        drawn = {picture.data for picture in self.pictures}
        if missing := sorted(drawn - {*self.tables, *self.data}):
            raise DataError(f"a picture is drawn from {missing[0]!r}, which is among neither tables nor data")
        if missing := [name for name in _TEXT_COLUMNS if name not in self.texts]:
            raise DataError(f"the texts have no column {missing[0]!r}")
        if unknown := [key for key in self.references if key not in BIBTEX]:
            raise DataError(f"there is no reference {unknown[0]!r}; the keys are {', '.join(BIBTEX)}")

    def __repr__(self) -> str:
        return "\n".join([f"StudyResult {self.name!r}: {self.question}", *map(str, self.findings)])

    @property
    def _main_picture(self) -> Picture:
        """The first that takes one pair of axes."""
        plots = import_module("tlsteer.plot")
        for one in self.pictures:
            draw = getattr(plots, one.draw, None)
            if draw is not None and "ax" in signature(draw).parameters:
                return one
        raise DataError(f"the study {self.name!r} has no picture")

    def _drawing(self) -> tuple[str, Any]:
        return self._main_picture.draw, self.drawn_from(self._main_picture)

    def _settings(self) -> Mapping[str, Any]:
        return self._main_picture.options

    @property
    def labels(self) -> list[str]:
        """The columns of the texts that are labels."""
        return [name for name in self.texts if name not in _TEXT_COLUMNS]

    def drawn_from(self, picture: Picture) -> Any:
        """What a picture is drawn from."""
        return self.tables[picture.data] if picture.data in self.tables else self.data[picture.data]

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each finding: measure, condition, value, low, high, n, unit, paper, agreement, reason, note."""
        rows = [
            {**asdict(one), **asdict(one.ours), "agreement": one.agreement, "reason": one.reason}
            for one in self.findings
        ]
        columns = ["measure", "condition", "value", "low", "high", "n", "unit", "paper", "agreement", "reason", "note"]
        return pd.DataFrame(rows, columns=columns)

    def save(self, folder: str | Path) -> Path:
        """Writes a folder that stands for itself; that of the run will do. Gives the folder.

        Its `result.json` is written last: without it the result does not count.
        """
        folder = Path(folder)
        if not (folder / CONFIG).exists():
            write_config(folder, self.config)
        for part in _IN_FILES:
            value = getattr(self, part)
            if len(value):
                keep(dict(value) if isinstance(value, Mapping) else value, folder / part)
        about = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in (*_IN_FILES, "config")}
        about["findings"], about["pictures"] = map(asdict, self.findings), map(asdict, self.pictures)
        keep({name: list(one) if isinstance(one, map) else one for name, one in about.items()}, folder / _RESULT)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> StudyResult:
        """Reads what `save` wrote.

        Raises:
            DataError: the folder holds no finished run, or a file of it is damaged.
        """
        folder = Path(folder)
        config = read_config(folder)
        file = find_kept(folder / _RESULT)
        if file is None:
            raise DataError(f"the run in {str(folder)!r} is not finished; start it again with the same arguments")
        about = load_kept(inside(folder, file.name))
        try:
            about["findings"] = [_finding(one) for one in about["findings"]]
            about["pictures"] = [Picture(**one) for one in about["pictures"]]
            kept = {part: found for part in _IN_FILES if (found := find_kept(folder / part))}
            parts = {part: load_kept(inside(folder, found.name)) for part, found in kept.items()}
            if unnamed := [part for part in parts if part != "texts" and not isinstance(parts[part], Mapping)]:
                raise TypeError(f"its {unnamed[0]} have no names")
            return cls(**about, **parts, config=config)
        except (KeyError, TypeError) as error:
            raise DataError(f"{str(file)!r} is not the result of a study ({error})") from None


def _finding(kept: dict[str, Any]) -> Finding:
    """A finding from its file; those of earlier versions say nothing of what the paper claims."""
    claimed = kept.get("claimed")
    return Finding(**kept | {"ours": Estimate(**kept["ours"]), "claimed": claimed and tuple(claimed)})


def by_name(findings: Iterable[Finding]) -> dict[tuple[str, str], Estimate]:
    """Our numbers by measure and condition."""
    return {(one.measure, one.condition): one.ours for one in findings}


@checked
def written(estimate: Estimate, unit: str = "") -> str:
    """A number with its interval: `91% [84, 95]` for the unit "share", else `0.21 [0.14, 0.28] nats`.

    >>> written(stats.Estimate(0.91, 0.84, 0.95, 100), "share")
    '91% [84, 95]'
    """
    if math.isnan(estimate.value):
        return "undefined"
    as_share = unit == "share"
    value, low, high = (_digits(one, as_share) for one in (estimate.value, estimate.low, estimate.high))
    interval = "(no interval)" if math.isnan(estimate.low) else f"[{low}, {high}]"
    return f"{value}% {interval}" if as_share else f"{value} {interval} {unit}".rstrip()


def _digits(value: float, as_share: bool) -> str:
    return f"{100 * value:.1f}".removesuffix(".0") if as_share else f"{value:.3g}"
