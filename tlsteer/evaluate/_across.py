"""What `reliability_across` found: a report for each dataset, their table, and the sweep that chose the layers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tlsteer._json_files import parse_json, write_json
from tlsteer._results import Result
from tlsteer._storage import inside, write_atomically
from tlsteer.errors import DataError
from tlsteer.evaluate._reliability_report import ReliabilityReport
from tlsteer.stats import estimate_columns
from tlsteer.vectors import SteeringVector

_INDEX = "datasets.json"


@dataclass(frozen=True, eq=False)
class AcrossDatasets(Result):
    """The reliability of one method, or one vector, on many datasets.

    Attributes:
        reports: by dataset, on questions that neither the vector nor its layer was chosen on.
        vectors: by dataset.
        sweep: of `reliability_table` on the validation questions: a row for each dataset and layer. None where there
            was no layer to choose.

    >>> datasets = {"power": choices, "risk": others}
    >>> found = reliability_across(model, datasets, sites=[3], n_random=1, n_resamples=20)
    >>> found.table[["dataset", "steerability"]], found.reports["power"].verdict
    """

    reports: dict[str, ReliabilityReport]
    vectors: dict[str, SteeringVector]
    sweep: pd.DataFrame | None

    _next = ".reports[name].verdict says what was found on a dataset."

    @property
    def headline(self) -> str:
        """On how many datasets there is which effect."""
        counts = Counter(report.effect for report in self.reports.values())
        effects = ", ".join(f"{effect} on {n}" for effect, n in counts.items())
        return f"Of {len(self.reports)} datasets: {effects}."

    def to_dataframe(self) -> pd.DataFrame:
        """See `table`."""
        return self.table

    def _drawing(self) -> tuple[str, Any]:
        return "plot_steerability", self.reports

    @property
    def table(self) -> pd.DataFrame:
        """A row for each dataset.

        Columns `dataset`, `layer`, `n`; then with `_low` and `_high` `steerability`, `anti_steerable`, `spread`
        (standard deviation of slopes), `over_<control>` (how much larger the effect is than that of the strongest
        vector of a control) and `variance_<part>` (shares of the variance of slopes); `effect` last.
        """
        return pd.DataFrame([self._row(name, report) for name, report in self.reports.items()])

    def _row(self, name: str, report: ReliabilityReport) -> dict[str, Any]:
        estimates = {
            "steerability": report.steerability,
            "anti_steerable": report.anti_steerable_fraction,
            "spread": report.spread,
            **{f"over_{control.replace(' ', '_')}": one.difference for control, one in report.controls.items()},
            **{f"variance_{part}": share for part, share in report.variance_explained.items()},
        }
        row = {"dataset": name, "layer": self.vectors[name].site.layer, "n": report.steerability.n}
        return row | estimate_columns(estimates, counts=False) | {"effect": report.effect}

    def __str__(self) -> str:
        table = self.table
        names = {"steerability": "slope", "anti_steerable": "anti-steerable", "spread": "spread"}
        names |= {column: column.replace("_", " ") for column in table if _is_value(str(column), "over_")}
        shown = table[["dataset", "layer", "n"]].copy()
        for column, title in names.items():
            ends = zip(table[column], table[f"{column}_low"], table[f"{column}_high"], strict=True)
            shown[title] = [f"{value:.2f} [{low:.2f}, {high:.2f}]" for value, low, high in ends]
        units = next(iter(self.reports.values())).per_sample.attrs.get("units", "")
        return f"{shown.to_string(index=False)}\n\nvalue [interval]; slopes and spread in {units}"

    __repr__ = __str__

    def save(self, folder: str | Path) -> Path:
        """Writes reports, vectors and both tables (CSV) into a folder; each file whole or not at all."""
        folder, files = Path(folder), file_names(self.reports)
        for name, file in files.items():
            self.reports[name].save(folder / "reports" / f"{file}.nc")
            self.vectors[name].save(folder / "vectors" / f"{file}.safetensors")
        write_atomically(folder / "table.csv", self.table.to_csv(index=False).encode(errors="backslashreplace"))
        if self.sweep is not None:
            write_atomically(folder / "sweep.csv", self.sweep.to_csv(index=False).encode())
        # Last, so that a folder that was cut short does not count.
        index = {"files": files, "sweep": self.sweep is not None}
        write_json(folder / _INDEX, index, indent=1)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> AcrossDatasets:
        """Reads what `save` wrote.

        Raises:
            DataError: not a folder of `save`, or a damaged file in it.
        """
        folder = Path(folder)
        try:
            index = parse_json(inside(folder, _INDEX).read_bytes())
            sweep = pd.read_csv(inside(folder, "sweep.csv"), dtype={"dataset": str}) if index["sweep"] else None
            files: dict[str, str] = dict(index["files"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{str(folder)!r} holds no reports on datasets saved by tlsteer ({error})") from None
        return cls(
            {name: ReliabilityReport.load(inside(folder, f"reports/{file}.nc")) for name, file in files.items()},
            {name: SteeringVector.load(inside(folder, f"vectors/{file}.safetensors")) for name, file in files.items()},
            sweep,
        )


def file_names(datasets: Iterable[str]) -> dict[str, str]:
    """A name for each dataset's files, of letters, digits, dashes and dots."""
    found: dict[str, str] = {}
    for number, name in enumerate(datasets):
        file = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "dataset"
        found[name] = f"{file}-{number}" if file in found.values() else file
    return found


def _is_value(column: str, prefix: str) -> bool:
    return column.startswith(prefix) and not column.endswith(("_low", "_high"))
