"""Two runs of a study as a page: what was set differently, and what moved, most certain first."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tlsteer._arguments import checked
from tlsteer.report._tables import shown
from tlsteer.report._templates import rendered, write_page
from tlsteer.stats import Estimate
from tlsteer.studies._compare import LEGEND, RunComparison, change_of, estimate_of, told


@checked
def write_comparison(compared: RunComparison, path: str | Path) -> Path:
    """Writes two runs side by side as one HTML page that works offline and fetches nothing.

    Args:
        compared: of `studies.compare_runs`.
        path: where to.

    >>> for seed in (0, 1):
    ...     finding = studies.Finding("requests served", "steered", stats.rate(8 + seed, 10), unit="share")
    ...     studies.StudyResult("mine", "Does it serve them?", [finding], config={"seed": seed}).save(f"runs/{seed}")
    >>> write_comparison(studies.compare_runs("runs/0", "runs/1"), "runs/seeds.html").name
    'seeds.html'
    """
    page = rendered(
        "comparison.html",
        name=compared.name,
        headline=compared.headline,
        folders=compared.folders,
        settings=shown("Settings that differ", compared.settings.astype(str)),
        rows=[_row(one) for one in compared.findings.to_dict("records")],
        legend=LEGEND,
    )
    return write_page(path, page)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    estimates: list[Estimate] = [estimate_of(row, name) for name in "ab"]
    known = row["unit"] == "share" and not any(math.isnan(one.value) for one in estimates)
    said = {"apart": "intervals apart", "overlap": "intervals overlap"}.get(row["intervals"], "")
    return {
        "measure": row["measure"], "condition": row["condition"], "a": told(row, "a"), "b": told(row, "b"),
        "estimates": estimates if known else [], "change": change_of(row), "said": said,
        "apart": row["intervals"] == "apart",
    }  # fmt: skip
