"""The page served: a socket, a token, and the server, until it is interrupted."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tlsteer._arguments import Whole, checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.errors import TlsteerError, VectorError
from tlsteer.ui._bench import Bench, Offered
from tlsteer.vectors import SteeringVector

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from tlsteer.ui._guard import Guard

HOST, PORT, RUNS = "127.0.0.1", 8642, Path("runs/ui")
_EVERYWHERE = ("", "0.0.0.0", "::")


def check_installed() -> None:
    """Raises TlsteerError where the server is not installed."""
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise TlsteerError(f'the page needs {" and ".join(missing)}; install it with: pip install "tlsteer[ui]"')


@checked
def serve(
    model: Model,
    vectors: Mapping[str, SteeringVector],
    *,
    host: str = HOST,
    port: Whole | None = None,
    runs: str | Path = RUNS,
) -> None:
    """Serves a page on which prompts, vectors and multipliers are tried by hand, until it is interrupted.

    The address is printed. It holds a token that nobody can guess; whoever has it can run the model and save trials.

    Args:
        model: a TransformerBridge or HookedTransformer, with a tokenizer.
        vectors: those that the page offers, by name.
        host: which address of this machine to listen at; by default no other machine can reach it.
        port: by default 8642, or any free one where that is taken.
        runs: the folder in which trials are saved.

    Raises:
        TlsteerError: Starlette or uvicorn are not installed, or the host or the port cannot be had.
        VectorError: no vector, or one of another model.

    >>> ts.ui.serve(model, {"refusal": vector})  # doctest: +SKIP
    """
    from rich.console import Console

    check_installed()
    made = {name: Offered(vector, f"vectors[{name!r}]") for name, vector in vectors.items()}
    page = bench_page(Bench(model, "...  # your model", made), host=host, port=port, runs=Path(runs))
    Console(highlight=False, markup=False, soft_wrap=True).print(page.said)
    page.serve()


@dataclass(frozen=True)
class Page:
    """A page at an address of this machine, which answers once it is served.

    Attributes:
        address: with the token.
        said: the address in words, and who can reach it.
        serve: until it is interrupted.
    """

    address: str
    said: str
    serve: Callable[[], None]


def page_of(
    app: Starlette, gives: str, *, host: str = HOST, port: int | None = None, policy: str | None = None
) -> Page:
    """A page behind its guard, on a socket of its own.

    Args:
        app: what answers.
        gives: what whoever has the address can do.
        host: see `serve`.
        port: see `serve`.
        policy: what may run in its pages; see `Guard`.
    """
    import uvicorn

    listener, token = listening(host, port), secrets.token_urlsafe(24)
    shown = f"[{host}]" if ":" in host else "localhost" if host in _EVERYWHERE else host
    address = f"http://{shown}:{listener.getsockname()[1]}/{token}/"
    said = f"Open {address} (Ctrl+C ends it)"
    if host in _EVERYWHERE or not host.startswith(("127.", "localhost", "::1")):
        said += f"\nOther machines can reach it: whoever has this address can {gives}."
    config = uvicorn.Config(
        guarded_app(app, token, host, policy), log_level="warning", access_log=False, server_header=False, ws="none",
        timeout_graceful_shutdown=1,
    )  # fmt: skip

    def serve() -> None:
        with listener:
            uvicorn.Server(config).run(sockets=[listener])

    return Page(address, said, serve)


def bench_page(bench: Bench, *, host: str, port: int | None, runs: Path) -> Page:
    """The page of a bench."""
    from tlsteer.ui._app import App

    if not bench.offered:
        raise VectorError("give at least one vector for the page to offer")
    for one in bench.offered.values():
        one.vector.check(Surface(bench.model))
    return page_of(App(bench, runs).starlette(), "run the model and save trials", host=host, port=port)


def guarded_app(app: Starlette, token: str, host: str, policy: str | None = None) -> Guard:
    """An application behind its guard."""
    from tlsteer.ui._guard import Guard

    names = [socket.gethostname(), socket.getfqdn()] if host in _EVERYWHERE else [host]
    return Guard(app, token, names, policy)


def listening(host: str, port: int | None) -> socket.socket:
    """A socket at a port of this machine.

    Raises:
        TlsteerError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, PORT if port is None else port), family=family)
    except (OSError, OverflowError) as error:
        if port is None and isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return listening(host, 0)
        wanted = f"host {host!r} with port {PORT if port is None else port}"
        raise TlsteerError(f"{wanted} cannot be had: {error}; give another --host or --port") from None
