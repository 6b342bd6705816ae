"""What commands do around their work: what they found is printed, bars are shown, and an interrupted run is resumed."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tlsteer.errors import WorkerError

if TYPE_CHECKING:
    import pandas as pd

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@dataclass(frozen=True)
class Said:
    """What a command found: in words, and as JSON values with names for what reads it; and what it goes on to do."""

    text: str
    values: Any
    then: Callable[[], None] | None = None


def told(command: Callable[..., Said]) -> Callable[..., None]:
    """A command with the options --json and --quiet, which prints what it found."""

    @wraps(command)
    def telling(*, json: bool, quiet: bool, **given: Any) -> None:
        before = _quiet.set(quiet)
        try:
            with _without_other_bars() if quiet else nullcontext():
                said = command(**given)
        finally:
            _quiet.reset(before)
        print(_as_json(said.values) if json else said.text, flush=True)
        if said.then is not None:
            said.then()

    found = inspect.signature(command, eval_str=True)
    options = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
               for name, annotation in (("json", _Json), ("quiet", _Quiet))]  # fmt: skip
    given = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in found.parameters.values()]
    telling.__signature__ = found.replace(parameters=[*given, *options])  # pyright: ignore[reportAttributeAccessIssue]
    return telling


_Json = Annotated[bool, typer.Option("--json", help="Print what was found as JSON, for other programs.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="Without bars and notes; warnings and errors are still said.")]


@contextmanager
def _without_other_bars() -> Iterator[None]:
    """Inside, transformers shows no bars while it loads, whether it is imported already or not."""
    name = "HF_HUB_DISABLE_PROGRESS_BARS"
    before, logging = os.environ.get(name), sys.modules.get("transformers.utils.logging")
    os.environ[name] = "1"
    shown = logging is not None and logging.is_progress_bar_enabled()
    if logging is not None:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        os.environ.pop(name)
        os.environ.update({} if before is None else {name: before})
        if logging is not None and shown:
            logging.enable_progress_bar()


def shows_bars() -> bool:
    """Whether bars are wanted."""
    return not _quiet.get()


def note(text: str) -> None:
    """Says something on the way, on stderr, unless --quiet."""
    if shows_bars():
        print(text, file=sys.stderr)


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as JSON values, a row each; what is undefined is None."""
    return json.loads(table.to_json(orient="records") or "[]")


def loaded_model(model: str, device: str | None, dtype: str) -> Any:
    """The model, after saying where it runs and how precisely."""
    from tlsteer._surface import Surface
    from tlsteer.models import load_model

    loaded = load_model(model, device, dtype)
    surface = Surface(loaded)
    note(f"{model}: {surface.dtype} on {surface.device}")
    return loaded


def in_flags(text: str, flags: Mapping[str, str]) -> str:
    """An error's text with a command's flags where it speaks of arguments: `data="a.json"` is `--data "a.json"`."""
    names = "|".join(map(re.escape, flags)) or "(?!)"
    text = re.sub(rf"\b({names})=(?=[,;.)]|$)", lambda found: flags[found[1]], text)
    return re.sub(rf"\b({names})=\s*", lambda found: f"{flags[found[1]]} ", text)


@contextmanager
def on_workers(workers: str | None, n_workers: int | None) -> Iterator[None]:
    """What is run inside goes to the workers that --workers and --n-workers name, where they do."""
    if (workers is None) != (n_workers is None):
        raise WorkerError("--workers says where, --n-workers how many; give both or neither")
    if workers is None:
        yield
        return
    kind, _, address = workers.partition("://")
    if kind != "ray":
        raise WorkerError(f'--workers {workers!r} is unknown; use "ray", "ray://auto" or "ray://HOST:PORT"')
    from tlsteer.cluster import workers as started

    with started("ray", n_workers or 1, address=address or None):
        yield


@contextmanager
def run_in(folder: Path, accept_versions: bool) -> Iterator[None]:
    """Says how to resume a run, where it is interrupted."""
    accepted = nullcontext()
    if accept_versions:
        from tlsteer.runs import accepting_versions

        accepted = accepting_versions()
    try:
        with accepted:
            yield
    except KeyboardInterrupt:
        kept = f"what is done is kept in {folder}, and the same command resumes it"
        print(f"tlsteer: interrupted; {kept}{_call()}", file=sys.stderr)
        sys.exit(130)


@contextmanager
def kept_nowhere(output: Path | None) -> Iterator[None]:
    """Says that nothing is left of a command that keeps no run, where it is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        written = f"{output} was not written" if output else "nothing was written"
        print(f"tlsteer: interrupted; {written}; start it again{_call()}", file=sys.stderr)
        sys.exit(130)


_calling: ContextVar[Sequence[str]] = ContextVar("calling", default=())


@contextmanager
def called_with(arguments: Sequence[str]) -> Iterator[None]:
    """Inside, commands know how they were called."""
    before = _calling.set(arguments)
    try:
        yield
    finally:
        _calling.reset(before)


def _call() -> str:
    """The command itself, on a line of its own, where it is known."""
    return f":\n  {shlex.join(['tlsteer', *_calling.get()])}" if _calling.get() else ""


def _as_json(values: Any) -> str:
    return json.dumps(_defined(values), indent=1, default=str)


def _defined(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, Mapping):
        return {str(name): _defined(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
