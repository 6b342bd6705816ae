"""Curves in netCDF files: named axes, labels and attributes, no code."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from tlsteer._arguments import checked
from tlsteer._dataset_files import read_dataset, write_dataset
from tlsteer.errors import DataError

# What xarray calls an array without a name in a file.
_NAMELESS = "__xarray_dataarray_variable__"


@checked
def save_curve(curve: xr.DataArray, path: str | Path) -> Path:
    """Writes an array with its coordinates and attributes as netCDF, whole or not at all.

    >>> save_curve(propensity(model, vector, choices, [-1, 0, 1]), "curve.nc").name
    'curve.nc'
    """
    return write_dataset(curve, path)


@checked
def load_curve(path: str | Path) -> xr.DataArray:
    """Reads what `save_curve` wrote.

    Raises:
        DataError: no such file, or one that is not netCDF with a single array.

    >>> curve = load_curve(save_curve(propensity(model, vector, choices, [-1, 0, 1]), "curve.nc"))
    >>> reliability(curve).steerability.n
    16
    """
    data = read_dataset(path, "a curve")
    if len(data.data_vars) != 1:
        raise DataError(f"{str(path)!r} does not hold a curve saved by tlsteer but {len(data.data_vars)} arrays")
    name = next(iter(data.data_vars))
    return data[name].rename(None if name == _NAMELESS else name)
