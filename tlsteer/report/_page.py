"""The page: what the template is filled with, and where it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tlsteer._arguments import checked
from tlsteer._references import BIBTEX
from tlsteer._storage import inside, write_atomically
from tlsteer.errors import DataError
from tlsteer.report._pictures import Drawn, drawn
from tlsteer.report._tables import shown
from tlsteer.report._templates import rendered, write_page
from tlsteer.report._texts import arranged
from tlsteer.runs._config import mixed_versions
from tlsteer.studies._result import StudyResult, written

_ALWAYS_USED = ("nanda2022transformerlens", "tlsteer")


@checked
def write(result: StudyResult | str | Path, path: str | Path | None = None) -> Path:
    """Writes a study's result as one HTML page that works offline and fetches nothing.

    Args:
        result: of a study, or the folder of its run.
        path: where to; by default `report.html` in the folder of the run, with the pictures as PNG files next to it.

    Raises:
        DataError: a folder without a finished run, a picture that cannot be drawn, or no path for a result in memory.

    >>> finding = studies.Finding("requests served", "steered", stats.rate(9, 10), unit="share")
    >>> studies.StudyResult("mine", "Does it serve them?", [finding]).save("runs/mine")
    >>> write("runs/mine").name
    'report.html'
    """
    if isinstance(result, StudyResult):
        if path is None:
            raise DataError("a result in memory needs a path for its page: write(result, 'report.html')")
        pictures = drawn(result)
    else:
        folder, result = Path(result), StudyResult.load(result)
        path, pictures = path or folder / "report.html", drawn(result)
        for number, one in enumerate(pictures, 1):
            write_atomically(inside(folder, f"pictures/{number:02}-{one.picture.draw}.png"), one.png)
    return write_page(path, render(result, pictures))


def render(result: StudyResult, pictures: list[Drawn]) -> str:
    """The page as HTML, with the pictures inside."""
    # No table can hold half of a surrogate pair.
    vectors = [
        {"vector": name.encode(errors="replace").decode(), "site": str(one.site), "operation": str(one.operation),
         "norm": one.norm, "method": one.provenance.method or "given"}
        for name, one in result.vectors.items()
    ]  # fmt: skip
    tables = dict(result.tables) | ({"Vectors": pd.DataFrame(vectors)} if vectors else {})
    return rendered(
        "page.html",
        result=result,
        ran=result.config.get("model"),
        written=written,
        agreements=Counter(finding.agreement for finding in result.findings if finding.paper),
        pictures=pictures,
        tables=[shown(title, table) for title, table in tables.items()],
        texts=arranged(result),
        facts=_flat(result.config),
        warnings=[*result.warnings, *_mixture(result.config)],
        bibtex="\n\n".join(BIBTEX[key] for key in dict.fromkeys([*result.references, *_ALWAYS_USED])),
    )


def _mixture(config: Mapping[str, Any]) -> list[str]:
    if not (mixed := mixed_versions(config)):
        return []
    return [f"Parts of this run were made with other versions of packages than the rest: {'; '.join(mixed)}."]


def _flat(config: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(config, dict):
        return [(prefix, config)]
    return [fact for name, value in config.items() for fact in _flat(value, f"{prefix}.{name}" if prefix else name)]
