"""Fits kept in a folder as they end, so that a long run can be stopped and taken up again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from tlsteer.data import data_hash
from tlsteer.errors import VectorError
from tlsteer.fit.recipe import OneShot
from tlsteer.fit.result import OneShotFit
from tlsteer.storage import write_atomically
from tlsteer.surface import Surface
from tlsteer.vectors import SteeringVector


class FitRun:
    """A folder with one JSON file a finished fit, beside its vectors.

    A fit is known by its recipe and its model: the same recipe is found again whatever its number was.
    """

    def __init__(self, folder: str | Path, surface: Surface) -> None:
        self._folder = Path(folder)
        self._surface = surface

    def finished(self, recipes: Sequence[OneShot]) -> dict[int, OneShotFit]:
        """The fits of earlier calls, by the number of their recipe here.

        Raises:
            VectorError: a file of the run is damaged.
        """
        files = {number: self._file(recipe) for number, recipe in enumerate(recipes)}
        return {number: _read(file) for number, file in files.items() if file.exists()}

    def save(self, recipe: OneShot, fit: OneShotFit) -> None:
        """Keeps a fit; its JSON is written last, so a fit that was cut short does not count."""
        file = self._file(recipe)
        names = [f"{file.stem}-{i}.safetensors" for i in range(len(fit.vectors))]
        for name, vector in zip(names, fit.vectors, strict=True):
            vector.save(self._folder / name)
        about = {
            "vectors": names,
            "losses": fit.losses,
            "completion_losses": fit.completion_losses,
            "stopped": fit.stopped,
            "max_norm": fit.max_norm,
            "engine": fit.engine,
        }
        write_atomically(file, json.dumps(about).encode())

    def _file(self, recipe: OneShot) -> Path:
        sites = [site.hook_name for site in recipe.sites(self._surface.n_layers)]
        key = [self._surface.fingerprint, sites, recipe.settings, data_hash(recipe.all_examples)]
        return self._folder / f"fit-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"


def _read(file: Path) -> OneShotFit:
    try:
        about = json.loads(file.read_text())
        vectors = [SteeringVector.load(file.parent / name) for name in about.pop("vectors")]
        return OneShotFit(vectors, **about)
    except (ValueError, KeyError, TypeError) as error:
        raise VectorError(f"{str(file)!r} is damaged ({error}); delete it to make that fit again") from None
