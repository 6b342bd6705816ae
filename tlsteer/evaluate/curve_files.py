"""Curves in netCDF files: named axes, labels and attributes, no code."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import xarray as xr

from tlsteer.errors import DataError
from tlsteer.storage import write_atomically


def save_curve(curve: xr.DataArray, path: str | Path) -> Path:
    """Writes an array with its coordinates and attributes as netCDF, whole or not at all.

    >>> save_curve(propensity(model, vector, choices), "curve.nc")
    """
    return write_atomically(path, bytes(curve.to_netcdf(engine="scipy")))


def load_curve(path: str | Path) -> xr.DataArray:
    """Reads what `save_curve` wrote.

    Raises:
        DataError: no such file, or one that is not netCDF with a single array.
    """
    try:
        curve = xr.load_dataarray(path, engine="scipy")
    except FileNotFoundError:
        raise DataError(f"there is no file {str(path)!r}") from None
    except Exception as error:  # scipy raises whatever a damaged header leads to
        raise DataError(f"{str(path)!r} is not a curve saved by tlsteer ({error})") from None
    texts = {name: one.astype(str) for name, one in curve.coords.items() if one.dtype.kind in "OSU"}
    return curve.assign_coords(texts)


class CurveRun:
    """A folder with the scores of each vector that is done, so that a long evaluation can be taken up again."""

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder)

    def finished(self, key: str) -> np.ndarray | None:
        """The scores kept under a key, if any."""
        if self._folder is None or not (file := self._folder / f"{key}.npy").exists():
            return None
        try:
            return np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{str(file)!r} is damaged ({error}); delete it to measure it again") from None

    def keep(self, key: str, scores: np.ndarray) -> None:
        """Keeps scores under a key."""
        if self._folder is not None:
            content = io.BytesIO()
            np.save(content, scores, allow_pickle=False)
            write_atomically(self._folder / f"{key}.npy", content.getvalue())
