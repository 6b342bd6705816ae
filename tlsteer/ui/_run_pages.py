"""The runs in a folder, served: their index as it is now, and the files of each."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tlsteer.errors import TlsteerError
from tlsteer.report._runs import index_page
from tlsteer.report._templates import served_policy
from tlsteer.ui._serving import Page, page_of


def runs_page(folder: Path, port: int | None) -> Page:
    """The page of a folder of runs, for this machine alone.

    Raises:
        DataError: no such folder, or it holds no run.
        TlsteerError: the port cannot be had.
    """
    index_page(folder)  # what is wrong with it is said before anything is served
    return page_of(runs_app(folder), "read these runs", port=port, policy=served_policy())


def runs_app(folder: Path) -> Starlette:
    """Answers with the index, made anew each time, and with files of the folder, but none that links lead out to."""

    def index(request: Request) -> Response:
        return HTMLResponse(index_page(folder).encode(errors="replace"))

    refuse = {TlsteerError: lambda request, error: PlainTextResponse(str(error), 400)}
    routes = [Route("/", index), Mount("/", StaticFiles(directory=folder))]
    return Starlette(routes=routes, exception_handlers=refuse)
