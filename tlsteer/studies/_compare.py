"""Two runs of a study side by side: which settings differ, and what that changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd

from tlsteer._arguments import checked
from tlsteer.errors import DataError
from tlsteer.runs._config import differences
from tlsteer.stats import Estimate
from tlsteer.studies._result import Finding, StudyResult, written

LEGEND = """Intervals that are apart show a difference. Ones that overlap do not show that there is none: where both
runs used the same inputs, their texts can be compared pair by pair."""
_WIDTH = 80


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Two runs of a study.

    Attributes:
        name: of the study.
        folders: of the two runs, a and b.
        settings: columns setting, a and b: a row for each setting that differs.
        findings: a row for each measure and condition of either run: measure, condition, unit, `value_`, `low_`,
            `high_` and `n_` of a and b, difference (b - a) and intervals ("overlap", "apart" or "" where one is
            missing). What a run has not is NaN. What moved most certainly comes first: intervals that are apart, then
            by the difference as a share of the intervals.

    >>> for seed in (0, 1):
    ...     finding = Finding("requests served", "steered", stats.rate(8 + seed, 10), unit="share")
    ...     StudyResult("mine", "Does it serve them?", [finding], config={"seed": seed}).save(f"runs/{seed}")
    >>> compare_runs("runs/0", "runs/1").findings["measure"].tolist()
    ['requests served']
    """

    name: str
    folders: tuple[str, str]
    settings: pd.DataFrame
    findings: pd.DataFrame

    @property
    def headline(self) -> str:
        """How many findings moved, in one sentence."""
        both = self.findings["difference"].notna()
        apart = int((self.findings["intervals"] == "apart").sum())
        return f"{apart} of {int(both.sum())} findings moved by more than their intervals."

    def __str__(self) -> str:
        settings = [f"{row['setting']}: {row['a']} -> {row['b']}" for row in self.settings.to_dict("records")]
        parts = [
            "\n".join(f"{name}: {folder}" for name, folder in zip("ab", self.folders, strict=True)),
            "\n".join(map(_folded, settings)) or "No setting differs.",
            self.headline,
            "\n".join(_written(row) for row in self.findings.to_dict("records")),
            _folded(" ".join(LEGEND.split()), ""),
        ]
        return "\n\n".join(parts)


@checked
def compare_runs(a: str | Path, b: str | Path) -> RunComparison:
    """Two finished runs of a study side by side.

    Args:
        a: the folder of a run.
        b: that of another.

    Raises:
        DataError: a folder that holds no finished run, or runs of different studies.

    >>> for seed in (0, 1):
    ...     finding = Finding("requests served", "steered", stats.rate(8 + seed, 10), unit="share")
    ...     StudyResult("mine", "Does it serve them?", [finding], config={"seed": seed}).save(f"runs/{seed}")
    >>> print(compare_runs("runs/0", "runs/1"))
    """
    one, other = StudyResult.load(a), StudyResult.load(b)
    if one.name != other.name:
        raise DataError(f"{str(a)!r} is a run of {one.name!r} and {str(b)!r} of {other.name!r}; compare runs of one")
    settings = pd.DataFrame(differences(one.config, other.config), columns=["setting", "a", "b"], dtype=object)
    ours, theirs = ({(f.measure, f.condition): f for f in result.findings} for result in (one, other))
    findings = pd.DataFrame([_compared(ours.get(key), theirs.get(key)) for key in dict.fromkeys([*ours, *theirs])])
    return RunComparison(one.name, (str(a), str(b)), settings, _by_movement(findings))


def _by_movement(findings: pd.DataFrame) -> pd.DataFrame:
    if findings.empty:
        return findings
    widths = [findings[f"high_{name}"] - findings[f"low_{name}"] for name in "ab"]
    moved = findings["difference"].abs() / np.maximum(np.hypot(*widths), 1e-12)
    place = findings["intervals"].map({"apart": 0, "overlap": 1}).fillna(2)
    order = pd.DataFrame({"place": place, "moved": -moved}).sort_values(["place", "moved"], kind="stable").index
    return findings.loc[order].reset_index(drop=True)


def _compared(one: Finding | None, other: Finding | None) -> dict[str, Any]:
    finding = one or other
    assert finding is not None
    missing = Estimate(math.nan, math.nan, math.nan, 0)
    a, b = (found.ours if found else missing for found in (one, other))
    row: dict[str, Any] = {"measure": finding.measure, "condition": finding.condition, "unit": finding.unit}
    for name, estimate, there in (("a", a, one), ("b", b, other)):
        row |= {f"{part}_{name}": getattr(estimate, part) for part in ("value", "low", "high")}
        row[f"n_{name}"] = estimate.n if there else math.nan
    known = not any(map(math.isnan, (a.low, a.high, b.low, b.high)))
    intervals = ("overlap" if a.low <= b.high and b.low <= a.high else "apart") if known else ""
    return row | {"difference": b.value - a.value, "intervals": intervals}


def estimate_of(row: Mapping[str, Any], name: str) -> Estimate:
    """What run a or b found."""
    n = row[f"n_{name}"]
    return Estimate(row[f"value_{name}"], row[f"low_{name}"], row[f"high_{name}"], 0 if math.isnan(n) else int(n))


def told(row: Mapping[str, Any], name: str) -> str:
    """The same in words; "-" where the run has no such finding."""
    one = estimate_of(row, name)
    return "-" if math.isnan(row[f"n_{name}"]) else f"{written(one, row['unit'])} (n={one.n})"


def change_of(row: Mapping[str, Any]) -> str:
    """By how much b is above a; empty where one is missing."""
    change = row["difference"]
    text = f"{100 * change:+.1f} points" if row["unit"] == "share" else f"{change:+.3g} {row['unit']}".rstrip()
    return "" if math.isnan(change) else text


def _written(row: Mapping[str, Any]) -> str:
    change = f": {change_of(row)}, intervals {row['intervals'] or 'unknown'}" if change_of(row) else ""
    lines = [f"{row['measure']}, {row['condition']}{change}", f"  a {told(row, 'a')}", f"  b {told(row, 'b')}"]
    return "\n".join(map(_folded, lines))


def _folded(text: str, indent: str = "    ") -> str:
    return fill(text, _WIDTH, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False)
