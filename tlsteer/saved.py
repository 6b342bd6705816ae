"""Any saved result, by what its file or folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import xarray as xr

from tlsteer._arguments import checked
from tlsteer._results import Result
from tlsteer._storage import read_file
from tlsteer._vector_files import read_fit_file
from tlsteer.analyse._layers.sweep_result import LayerSweep
from tlsteer.errors import DataError, TlsteerError
from tlsteer.evaluate._across import AcrossDatasets
from tlsteer.evaluate._curve_files import load_curve
from tlsteer.evaluate._side_effects import load_side_effects
from tlsteer.fit._fit import Fit
from tlsteer.runs._kept import RESULTS
from tlsteer.studies._result import StudyResult
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector

Saved: TypeAlias = Result | xr.DataArray | xr.Dataset | SteeringVector | VectorSet

# Those of one folder each, by the file that tells; what is wrong in one is then said by its own reader.
_FOLDERS = {"sweep.nc": LayerSweep.load, "datasets.json": AcrossDatasets.load, "result.json": StudyResult.load}
# Each knows its own kind; curves, which say least about themselves, come last.
_READERS = (*(result.load for result in RESULTS), load_side_effects, load_curve)


@checked
def load(path: str | Path) -> Saved:
    """Reads whatever `save` of tlsteer wrote: a result, a fit, propensities, side effects, a vector or a set of them.

    Raises:
        TlsteerError: no such file or folder, a damaged one, one of something else, or the folder of a run that is not
            finished or keeps units alone.

    >>> report = reliability(propensity(model, vector, choices, [-1, 0, 1]))
    >>> ts.load(report.save("report")).verdict == report.verdict
    True
    >>> ts.load(vector.save("vector.safetensors")).cosine(vector) > 0.999
    True
    """
    path = Path(path)
    for name, reader in _FOLDERS.items():
        if (path / name).exists():
            return reader(path)
    if path.is_dir():
        raise DataError(
            f"the folder {str(path)!r} holds no result that tlsteer saved; a run that was stopped goes on when it is "
            "started again with the same arguments, else name one of the files in it"
        )
    if path.suffix == ".safetensors" or _holds_tensors(path):
        if read_fit_file(path) is not None:
            return Fit.load(path)
        several = VectorSet.load(path)
        return several.only if len(several) == 1 else several
    for reader in _READERS:
        try:
            return reader(path)
        except TlsteerError:
            continue
    raise DataError(f"{str(path)!r} holds no result that tlsteer saved, or a damaged one")


def _holds_tensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: with the length of a header, and the header in JSON."""
    content = read_file(path)
    return content[8:9] == b"{" and 8 + int.from_bytes(content[:8], "little") <= len(content)
