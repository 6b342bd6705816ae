"""`tlsteer serve`: an OpenAI-compatible server on vLLM, whose requests name the vectors that steer them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlsteer.commands._options import Dtype


def serve(
    model: Annotated[str, typer.Argument(help='"organism", a Hugging Face id or the directory of a saved model.')],
    vectors: Annotated[Path, typer.Option(help="A folder of saved vectors; requests name them by their files.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[--OPTION VALUE]...", help="Options of vLLM's server, such as --max-model-len 4096."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Listen at this address; any but the default lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    dtype: Dtype = "float32",
) -> None:
    """Serve a model by vLLM's OpenAI-compatible server; each request may be steered by a vector of its own.

    A request to /v1/completions or /v1/chat/completions says by which, in a field "steering": {"vector": NAME, and
    where wanted "multiplier", "operation" and "positions"}, or a list of these. GET /v1/vectors lists the vectors.

    \b
    Example:
      tlsteer serve google/gemma-2-2b-it --vectors vectors --dtype bfloat16 --max-model-len 4096
    """
    from tlsteer.serving._vllm_server import serve

    serve(model, vectors, host=host, port=port, dtype=dtype, options=options or [], say=print)
