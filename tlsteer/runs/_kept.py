"""Values in files whose names say what they are: tables, arrays, vectors, results, JSON values, and several of these.

A table is JSON lines, an array netCDF, a vector safetensors, a result what its class writes; several are a folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tlsteer._arguments import checked
from tlsteer._dataset_files import read_dataset, write_dataset
from tlsteer._storage import inside, write_atomically
from tlsteer.analyse._calibration.calibration import Calibration
from tlsteer.analyse._comparison.comparison import VectorComparison
from tlsteer.analyse._comparison.connectivity import ModeConnectivity
from tlsteer.analyse._comparison.effects import EffectComparison
from tlsteer.analyse._comparison.transfer import TransferMatrix
from tlsteer.analyse._layers.sweep_result import LayerSweep
from tlsteer.analyse._verbalization.surprisal import Surprisal
from tlsteer.analyse._verbalization.verbalization_result import Verbalization
from tlsteer.data import write_jsonl
from tlsteer.errors import DataError
from tlsteer.evaluate._across import AcrossDatasets
from tlsteer.evaluate._attack import AttackSuccess
from tlsteer.evaluate._curve_files import load_curve, save_curve
from tlsteer.evaluate._flipping import Flips
from tlsteer.evaluate._reliability_report import ReliabilityReport
from tlsteer.fit._fit import Fit
from tlsteer.harnesses._tasks import TaskScores
from tlsteer.judges._agreement import Agreement
from tlsteer.vectors import SteeringVector

# What saves and loads itself.
RESULTS = (
    AcrossDatasets,
    Agreement,
    AttackSuccess,
    Calibration,
    EffectComparison,
    Flips,
    LayerSweep,
    ModeConnectivity,
    ReliabilityReport,
    Surprisal,
    TaskScores,
    TransferMatrix,
    VectorComparison,
    Verbalization,
)


@dataclass(frozen=True)
class Kind:
    """A kind of value that has a file format of its own.

    Attributes:
        suffix: of its files.
        type: of its values.
        save: writes a value to a path.
        load: reads it again.
    """

    suffix: str
    type: type
    save: Callable[[Any, Path], Any]
    load: Callable[[Path], Any]


@checked
def keep(value: Any, stem: Path) -> Path:
    """Writes a value to a file, or a folder, whose name is that of `stem` and a suffix for its kind.

    Args:
        value: a DataFrame, DataArray, Dataset, vector, fit or result that saves itself (see `RESULTS`), a list of
            these or a dict of them by name, such lists and dicts in one another, or else a JSON value.
        stem: the path without the suffix.

    Returns:
        The path it was written to.

    Raises:
        DataError: a value of no such kind.

    >>> keep({"rate": 0.9}, Path("rates"))
    """
    kind = next((one for one in _KINDS if isinstance(value, one.type)), None)
    if kind is None and _are_kept_apart(value):
        return _keep_several(value, _with(stem, _SEVERAL))
    kind = kind or _JSON
    kind.save(value, _with(stem, kind.suffix))
    return _with(stem, kind.suffix)


@checked
def load_kept(path: str | Path) -> Any:
    """Reads what `keep` wrote; nothing in the file is executed.

    Raises:
        DataError: no such file, one of an unknown kind, or a damaged one.

    >>> load_kept(keep({"rate": 0.9}, Path("rates")))
    {'rate': 0.9}
    """
    path = Path(path)
    if path.name.endswith(_SEVERAL):
        return _load_several(path)
    kind = next((one for one in (*_KINDS, _JSON) if path.name.endswith(one.suffix)), None)
    if kind is None:
        raise DataError(f"the name of {str(path)!r} ends in none of those that tlsteer keeps values under")
    return kind.load(path)


def find_kept(stem: Path) -> Path | None:
    """Where `keep` wrote a value for this stem, if it did."""
    files = [_with(stem, suffix) for suffix in (*(kind.suffix for kind in _KINDS), _JSON.suffix, _SEVERAL)]
    return next((file for file in files if os.path.exists(file)), None)


def _with(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _save_table(table: pd.DataFrame, path: Path) -> None:
    names = list(table.columns)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise DataError(f"the columns of a table need a name each, as a string and once, got {names}")
    if not table.index.equals(pd.RangeIndex(len(table))):
        raise DataError("the index of a table is not kept; call reset_index() first, with drop=True if it says nothing")
    missing = table.isna().to_numpy()
    try:
        rows = [
            {name: None if gone else value for (name, value), gone in zip(row.items(), where, strict=True)}
            for row, where in zip(table.to_dict("records"), missing, strict=True)
        ]
        write_jsonl(path, rows)  # pyright: ignore[reportArgumentType]
    except DataError as error:
        raise DataError(f"a cell of the table is not a number, string or truth value: {error}") from None


def _load_table(path: Path) -> pd.DataFrame:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    table = pd.DataFrame(rows)
    # A column of undefined numbers says null in every row.
    empty = [name for name in table if table[name].isna().all()]
    return table.astype(dict.fromkeys(empty, float))


def _save_json(value: Any, path: Path) -> None:
    try:
        write_atomically(path, json.dumps(value, indent=1, default=_plain_number).encode())
    except TypeError as error:
        raise DataError(f"a {type(value).__name__} cannot be kept, it is not a JSON value: {error}") from None


def _load_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} in it")


def _or_damaged(load: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Says which file is missing or damaged, whatever the reader of its format raises."""

    def loading(path: Path) -> Any:
        try:
            return load(path)
        except FileNotFoundError:
            raise DataError(f"there is no file {str(path)!r}") from None
        except Exception as error:  # scipy raises whatever a damaged header leads to
            raise DataError(f"{str(path)!r} is damaged ({error}); delete it to make it again") from None

    return loading


# Where an ending is that of another too, the longer one comes first.
_KINDS = (
    Kind(".Fit.safetensors", Fit, Fit.save, Fit.load),
    Kind(".safetensors", SteeringVector, SteeringVector.save, SteeringVector.load),
    Kind(".jsonl", pd.DataFrame, _save_table, _or_damaged(_load_table)),
    Kind(".dataset.nc", xr.Dataset, write_dataset, partial(read_dataset, what="a dataset")),
    Kind(".nc", xr.DataArray, save_curve, load_curve),
    *(Kind(f".{result.__name__}", result, result.save, result.load) for result in RESULTS),
)
_JSON = Kind(".json", object, _save_json, _or_damaged(_load_json))
_SEVERAL, _INDEX = ".parts", "index.json"


def _are_kept_apart(value: Any) -> bool:
    several = list(value.values()) if isinstance(value, dict) else value
    kept = tuple(kind.type for kind in _KINDS)
    if not isinstance(several, list) or not several:
        return False
    return all(isinstance(one, kept) or _are_kept_apart(one) for one in several)


def _keep_several(values: Any, folder: Path) -> Path:
    names = list(values) if isinstance(values, dict) else None
    if names is not None and not all(isinstance(name, str) for name in names):
        raise DataError(f"values are kept under names that are strings, got {names}")
    # The index says which is which; the files' names only help who looks into the folder.
    stems = [f"{number:02}-{_plain(name)}".strip("-") for number, name in enumerate(names or [""] * len(values))]
    several = values if names is None else values.values()
    files = [keep(one, folder / stem).name for one, stem in zip(several, stems, strict=True)]
    _save_json({"names": names, "files": files}, folder / _INDEX)
    return folder


def _plain(name: str) -> str:
    return re.sub(r"[^\w=+-]+", "-", name)[:60]


def _load_several(folder: Path) -> Any:
    index = load_kept(folder / _INDEX)
    try:
        names, files = index["names"], [inside(folder, file) for file in index["files"]]
        if names is not None and not all(isinstance(name, str) for name in names):
            raise TypeError(f"names are texts, not {names!r:.80}")
        return (
            [load_kept(file) for file in files]
            if names is None
            else dict(zip(names, map(load_kept, files), strict=True))
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{str(folder / _INDEX)!r} is damaged ({error}); delete the folder to make it again") from None
