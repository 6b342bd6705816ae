"""`tlsteer ui`: a local page on which vectors are tried by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlsteer.commands._options import Device, Dtype
from tlsteer.commands._running import Said, loaded_model
from tlsteer.errors import VectorError

_EMBEDDED = "organism"


def ui(
    model: Annotated[
        str, typer.Argument(help='"organism", a Hugging Face id or the directory of a saved model.')
    ] = _EMBEDDED,
    vectors: Annotated[
        list[Path] | None, typer.Argument(help="Saved vectors; the embedded model comes with some.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Listen at this address; any but the default lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="By default 8642, or a free one where that is taken.")] = None,
    runs: Annotated[Path, typer.Option(help="The folder in which trials are saved.")] = Path("runs/ui"),
    device: Device = None,
    dtype: Dtype = "float32",
) -> Said:
    """Try vectors by hand on a local page: prompts, multipliers, texts side by side as they are written.

    \b
    Example:
      tlsteer ui
      tlsteer ui google/gemma-2-2b-it calm.safetensors honest.safetensors
    """
    if not vectors and model != _EMBEDDED:
        raise VectorError(f"give at least one saved vector for {model!r}: tlsteer ui {model} vector.safetensors")
    from tlsteer.ui._serving import bench_page, check_installed

    check_installed()
    from tlsteer.ui._bench import Bench
    from tlsteer.ui._starters import example_prompts, offered_examples, offered_files

    offered = offered_files(vectors or [])
    loaded = loaded_model(model, device, dtype)
    settings = "".join(f", {name}={value!r}" for name, value in (("device", device), ("dtype", dtype)) if value)
    bench = Bench(
        loaded,
        f"ts.load_model({model!r}{settings})",
        offered or offered_examples(loaded),
        example_prompts(loaded) if model == _EMBEDDED else (),
    )
    page = bench_page(bench, host=host, port=port, runs=runs)
    return Said(page.said, {"address": page.address}, page.serve)
