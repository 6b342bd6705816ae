"""Texts under many vectors: unsteered, steered, and under random vectors of equal norm, kept as they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from tlsteer.errors import DataError
from tlsteer.evaluate.keys import measurement_key
from tlsteer.evaluate.vector_grid import VectorGrid, Vectors
from tlsteer.fit import random_vector
from tlsteer.generation import generate
from tlsteer.positions import Positions
from tlsteer.steering import Intervention, Interventions
from tlsteer.steering.interventions import listed
from tlsteer.storage import write_atomically
from tlsteer.surface import Surface
from tlsteer.vectors import SteeringVector

SETTING = ["kind", "vector", "layer", "multiplier"]


def steered_texts(
    model: Any,
    prompts: Sequence[str],
    vectors: Vectors | None,
    multipliers: Sequence[float] = (1.0,),
    *,
    also: Mapping[str, Interventions] | None = None,
    positions: Positions = "all",
    random_baseline: bool = True,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    batch_size: int = 256,
    seed: int = 0,
    run_dir: str | Path | None = None,
    progress: bool = True,
) -> Iterator[pd.DataFrame]:
    """Answers to all prompts, one table for the unsteered model, then one for each vector, as they are done.

    Args:
        model: a TransformerBridge or HookedTransformer.
        prompts: texts as the model reads them, chat format and all.
        vectors: one vector; a list, one a layer; or either by name; None for the unsteered model alone.
        multipliers: of the vectors; 0 is the unsteered model, which is there in any case.
        also: further ways to steer by name, each applied as it stands, such as an ablation at every layer.
        positions: where the vectors are applied.
        random_baseline: beside every vector, random ones of equal norm, one for each prompt, so that the baseline is
            no single direction's luck. Affine maps have no norm, so none stands beside them.
        max_new_tokens: length of the answers.
        temperature: 0 is greedy.
        batch_size: answers written at once; vectors of one site and operation share batches.
        seed: of the random vectors and of sampling.
        run_dir: a folder to keep answers in; a call that was interrupted goes on from there.
        progress: show a bar.

    Yields:
        Tables of the columns kind ("unsteered", "steered" or "random"), vector, layer, multiplier, row (of the prompt)
        and text.

    Raises:
        DataError: no prompts, or a name for two things.
        VectorError: vectors of another model, or lists with different layers.
    """
    if not prompts:
        raise DataError("give at least one prompt")
    surface = Surface(model)
    units = [_Unit("unsteered", [("unsteered", None, 0.0)], [])]
    units += _vector_units(surface, vectors, multipliers, len(prompts), positions, random_baseline, seed)
    names = {unit.name for unit in units}
    for name, interventions in (also or {}).items():
        if name in names:
            raise DataError(f"{name!r} names two ways to steer; rename one")
        units.append(_Unit(name, [("steered", None, 1.0)], listed(interventions)))
    kept, write = _KeptTexts(run_dir), _Writing(model, prompts, max_new_tokens, temperature, seed, batch_size)
    keys = [unit.key(surface, write) for unit in units]
    with tqdm(total=len(units), desc="texts", unit="vector", disable=not progress or len(units) == 1) as bar:
        for batch in _batches([*zip(units, keys, strict=True)], len(prompts), batch_size):
            todo = [(unit, key) for unit, key in batch if key not in kept]
            texts = write.texts([unit for unit, _ in todo])
            for (_, key), own in zip(todo, texts, strict=True):
                kept[key] = own
            for unit, key in batch:
                yield unit.table(kept[key])
                bar.update()


@dataclass(frozen=True)
class _Writing:
    """How answers are written."""

    model: Any
    prompts: Sequence[str]
    max_new_tokens: int
    temperature: float
    seed: int
    batch_size: int

    @property
    def recipe(self) -> list[Any]:
        """What the answers depend on, beside the model and what steers it."""
        sampling = [self.temperature, self.seed] if self.temperature else []
        return [list(self.prompts), self.max_new_tokens, *sampling]

    def texts(self, units: Sequence[_Unit]) -> list[list[str]]:
        """The answers of each unit."""
        if not units:
            return []
        steering = units[0].steering
        if len(units) > 1:
            each = [unit.steering[0] for unit in units]
            vectors = [vector for one in each for vector in one.vectors]
            multipliers = [multiplier for one in each for multiplier in one.multiplier]  # pyright: ignore[reportGeneralTypeIssues] # one a row
            steering = [replace(each[0], vector=vectors, multiplier=multipliers)]
        n_settings = [len(unit.settings) for unit in units]
        texts = generate(
            self.model, [*self.prompts] * sum(n_settings), steering, max_new_tokens=self.max_new_tokens,
            temperature=self.temperature, seed=self.seed, batch_size=self.batch_size, progress=False,
        )  # fmt: skip
        ends = np.cumsum(n_settings) * len(self.prompts)
        return [texts[end - n * len(self.prompts) : end] for end, n in zip(ends, n_settings, strict=True)]


@dataclass(frozen=True)
class _Unit:
    """What is kept together: the answers in a few settings, all prompts in one after all in the other.

    Attributes:
        name: of the vector.
        settings: kind, layer and multiplier of each.
        steering: for all answers; none for the unsteered model.
    """

    name: str
    settings: Sequence[tuple[str, int | None, float]]
    steering: list[Intervention]

    @property
    def alike(self) -> Any:
        """What units share whose answers can be written in one batch; None for what stands alone."""
        if len(self.steering) != 1 or isinstance(self.steering[0].vector, SteeringVector):
            return None
        one = self.steering[0]
        return one.vectors[0].site, one.vectors[0].operation, one.vectors[0].constant

    def key(self, surface: Surface, writing: _Writing) -> str:
        """A name for these answers: of all that they depend on."""
        steering = [
            measurement_key(surface, vector, "texts", repr(one.positions), one.operation, repr(one.site))
            for one in self.steering
            for vector in one.vectors
        ]
        multipliers = [one.multiplier for one in self.steering]
        content = [surface.fingerprint, writing.recipe, len(self.settings), steering, multipliers]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]

    def table(self, texts: Sequence[str]) -> pd.DataFrame:
        """The answers with their settings."""
        n_prompts = len(texts) // len(self.settings)
        rows = [
            (kind, self.name, layer, multiplier, row, texts[start * n_prompts + row])
            for start, (kind, layer, multiplier) in enumerate(self.settings)
            for row in range(n_prompts)
        ]
        return pd.DataFrame(rows, columns=[*SETTING, "row", "text"]).astype({"layer": "Int64"})


def _vector_units(
    surface: Surface,
    vectors: Vectors | None,
    multipliers: Sequence[float],
    n_prompts: int,
    positions: Positions,
    random_baseline: bool,
    seed: int,
) -> Iterator[_Unit]:
    strengths = [float(multiplier) for multiplier in multipliers]
    if len(set(strengths)) < len(strengths):
        raise DataError(f"give each multiplier once, got {strengths}")
    strengths = [strength for strength in strengths if strength]
    if vectors is None or not strengths:
        return
    grid = VectorGrid.of(vectors, surface)
    for name, row in zip(grid.names or ["vector"], grid.rows, strict=True):
        if name == "unsteered":
            raise DataError("'unsteered' is the name of the model without vectors; rename yours")
        for number, vector in enumerate(row):
            layer = vector.check(surface).layer
            if vector.operation == "affine":
                for strength in strengths:
                    yield _Unit(name, [("steered", layer, strength)], [Intervention(vector, strength, positions)])
                continue
            settings = [("steered", layer, strength) for strength in strengths]
            rows = [vector] * (n_prompts * len(strengths))
            if random_baseline:
                settings += [("random", layer, strength) for strength in strengths]
                seeds = np.random.default_rng([seed, *name.encode(), number]).integers(2**31, size=n_prompts)
                rows += [random_vector(vector.site, like=vector, seed=int(one)) for one in seeds] * len(strengths)
            by_row = [strength for _, _, strength in settings for _ in range(n_prompts)]
            yield _Unit(name, settings, [Intervention(rows, by_row, positions)])


def _batches(units: list[tuple[_Unit, str]], n_prompts: int, batch_size: int) -> Iterator[list[tuple[_Unit, str]]]:
    """Neighbours whose answers can be written in one batch, as many as fit."""
    for alike, group in groupby(units, lambda one: one[0].alike):
        several = list(group)
        at_once = max(1, batch_size // (n_prompts * len(several[0][0].settings))) if alike else 1
        for start in range(0, len(several), at_once):
            yield several[start : start + at_once]


class _KeptTexts:
    """Answers by key, in memory and, where there is one, in a folder."""

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._texts: dict[str, list[str]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._texts or (self._folder is not None and self._file(key).exists())

    def __getitem__(self, key: str) -> list[str]:
        if key not in self._texts:
            try:
                self._texts[key] = json.loads(self._file(key).read_text(encoding="utf-8"))
            except ValueError:
                raise DataError(f"{str(self._file(key))!r} is damaged; delete it to write its texts again") from None
        return self._texts[key]

    def __setitem__(self, key: str, texts: list[str]) -> None:
        self._texts[key] = texts
        if self._folder is not None:
            write_atomically(self._file(key), json.dumps(texts, ensure_ascii=False).encode())

    def _file(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{key}.json"
