"""An index of the runs in a folder, as a page: what each asked, of which model, and what it found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tlsteer._arguments import checked
from tlsteer.errors import DataError, TlsteerError
from tlsteer.report._page import write
from tlsteer.report._templates import rendered, write_page
from tlsteer.runs._config import FILE, read_config
from tlsteer.studies._result import StudyResult


@dataclass(frozen=True)
class _Run:
    name: str
    study: str
    model: str
    started: str
    said: str
    page: str = ""


@checked
def write_index(folder: str | Path, path: str | Path | None = None) -> Path:
    """Writes a page that lists the runs in a folder, newest first, and the page of each that is finished and has none.

    Args:
        folder: of runs; those in folders within it count too.
        path: where to; `index.html` in the folder by default.

    Raises:
        DataError: no such folder, or it holds no run.

    >>> finding = studies.Finding("requests served", "steered", stats.rate(9, 10), unit="share")
    >>> studies.StudyResult("mine", "Does it serve them?", [finding]).save("runs/mine")
    >>> write_index("runs").name
    'index.html'
    """
    return write_page(path or Path(folder) / "index.html", index_page(Path(folder)))


def index_page(folder: Path) -> str:
    """The page that lists the runs in a folder, as HTML; pages of finished runs that have none are written."""
    if not os.path.isdir(folder):  # which says of no name that it cannot be one
        raise DataError(f"there is no folder {str(folder)!r}")
    found = sorted(one.parent for one in folder.rglob(FILE) if "units" not in one.relative_to(folder).parts)
    if not found:
        raise DataError(f"{str(folder)!r} holds no runs")
    runs = sorted((_run(one, folder) for one in found), key=lambda run: run.started, reverse=True)
    return rendered("runs.html", folder=str(folder), runs=runs)


def _run(run: Path, folder: Path) -> _Run:
    name = run.relative_to(folder).as_posix()
    try:
        config = read_config(run)
    except TlsteerError as error:
        return _Run(name, "", "", "", str(error))
    about = config.get("model")
    model = str(about.get("name", "")) if isinstance(about, dict) else str(about or "")
    kind, started = str(config.get("study") or config.get("command") or ""), str(config.get("started", ""))
    if "study" not in config:
        return _Run(name, kind, model, started, "A run of a command; its folder has its tables and pictures.")
    try:
        result = StudyResult.load(run)
        if not (run / "report.html").exists():
            write(run)
    except TlsteerError as error:
        return _Run(name, kind, model, started, str(error))
    page = quote((run / "report.html").relative_to(folder).as_posix())
    return _Run(name, kind, model, started, result.headline or result.question, page)
