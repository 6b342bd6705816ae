"""What a run was asked to do and what it ran on: written first, compared when the run is resumed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tlsteer._arguments import checked
from tlsteer._model_type import Model
from tlsteer._storage import inside, write_atomically
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.errors import DataError
from tlsteer.runs._kept import load_kept

FILE = "config.json"
# When a run began says nothing about what it gives.
_STARTED = "started"
_VERSIONS, _ACCEPTED = "versions", "also_run_with"
_accepting = ContextVar("accepting_versions", default=False)
_PACKAGES = ("torch", "transformer-lens", "transformers", "numpy")


@checked
def about_model(model: Model) -> dict[str, str]:
    """What tells a model from another, for the config of a run: name, fingerprint, weight processing, dtype, device.

    >>> about_model(model)["name"]
    'organism'
    """
    return Surface(model).about()


def full_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as JSON gives it back, with the versions in use and the time.

    Raises:
        DataError: it holds something that is not a JSON value.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        return json.loads(json.dumps({**config, _VERSIONS: _versions(), _STARTED: now}))
    except TypeError as error:
        raise DataError(f"the config of a run is made of JSON values: {error}") from None


@contextmanager
def accepting_versions() -> Iterator[None]:
    """Inside the context, runs are resumed that were begun with other versions of packages, but for tlsteer's own.

    What is done stays as other versions made it, so that the run becomes a mixture; its config and its page say so.

    >>> with accepting_versions():  # goes on with what an earlier tlsteer began
    ...     curve = propensity(model, vector, choices, [-1, 0, 1], run_dir="runs/curve")
    """
    token = _accepting.set(True)
    try:
        yield
    finally:
        _accepting.reset(token)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes the config of a run."""
    write_atomically(folder / FILE, (json.dumps(config, indent=1) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """The config of a run.

    Raises:
        DataError: the folder holds no run.
    """
    if not os.path.exists(folder / FILE):  # which says of no name that it cannot be one
        raise DataError(f"{str(folder)!r} holds no run: it has no {FILE}")
    config = load_kept(inside(folder, FILE))
    if not isinstance(config, dict):
        raise DataError(f"{str(folder)!r} holds no run: its {FILE} is of something else")
    return config


def changed(made: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What keeps a run from being resumed: each difference, but for versions that are accepted."""
    made, now = dict(made), config[_VERSIONS]
    accepted, versions = made.pop(_ACCEPTED, []), made.get(_VERSIONS)
    same_tlsteer = isinstance(versions, Mapping) and versions.get("tlsteer") == now["tlsteer"]
    if now in accepted or (_accepting.get() and same_tlsteer):
        made[_VERSIONS] = now
    return differences(made, config)


def taken_up(made: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a resumed run, with the versions it is resumed with."""
    known = [made[_VERSIONS], *made.get(_ACCEPTED, [])]
    more = [] if config[_VERSIONS] in known else [config[_VERSIONS]]
    return {**made, _ACCEPTED: [*known[1:], *more]} if known[1:] + more else dict(made)


def mixed_versions(config: Mapping[str, Any]) -> list[str]:
    """Each package of which parts of a run were made with several versions, and these."""
    runs = [one for one in (config.get(_VERSIONS), *config.get(_ACCEPTED, [])) if isinstance(one, Mapping)]
    found = {name: list(dict.fromkeys(str(one.get(name)) for one in runs)) for name in (runs[0] if runs else ())}
    return [f"{name} {', '.join(several)}" for name, several in found.items() if len(several) > 1]


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each setting that differs: its name, with dots where one holds another, and both values; None where missing."""
    for name in dict.fromkeys([*one, *other]):
        mine, theirs = one.get(name), other.get(name)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from ((f"{name}.{inner}", a, b) for inner, a, b in differences(mine, theirs))
        elif name != _STARTED and json.dumps(mine) != json.dumps(theirs):
            yield name, mine, theirs


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "tlsteer": __version__} | {one: version(one) for one in _PACKAGES}
