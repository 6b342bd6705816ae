"""`tlsteer view`: an index of the runs in a folder, as a page that is written or served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlsteer.commands._running import Said
from tlsteer.errors import DataError


def view(
    folder: Annotated[Path, typer.Argument(help="A folder of runs, such as runs/.")],
    output: Annotated[Path | None, typer.Option(help="Where to; index.html in the folder by default.")] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it to this machine instead, with runs as they are at each reload.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(help="Where it is served; by default 8642, or a free one where that is taken.")
    ] = None,
) -> Said:
    """Write a page that lists the runs in a folder, newest first, with links to their pages, or serve it.

    \b
    Example:
      tlsteer view runs/
      tlsteer view runs/ --serve
    """
    if serve and output is not None:
        raise DataError("--serve writes no index; leave out --output, or --serve")
    if port is not None and not serve:
        raise DataError("--port is for a page that is served; add --serve")
    if not serve:
        from tlsteer.report import write_index

        page = write_index(folder, output)
        return Said(str(page), {"page": str(page)})
    from tlsteer.ui._serving import check_installed

    check_installed()
    from tlsteer.ui._run_pages import runs_page

    served = runs_page(folder, port)
    return Said(served.said, {"address": served.address}, served.serve)
