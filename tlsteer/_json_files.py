"""JSON in files: written whole, whatever a text in it holds, read with an error that says what the file should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlsteer._storage import read_file, write_atomically
from tlsteer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """A value as JSON in UTF-8, in which most texts can be read as they are.

    Raises:
        DataError: it holds something else than JSON values.
    """
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair has no place in UTF-8, but one in JSON, as an escape.
        return json.dumps(value, indent=indent).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"this cannot be written as JSON: {error}") from None


def write_json(path: str | Path, value: Any, indent: int | None = None) -> Path:
    """Writes a value as JSON, whole or not at all."""
    return write_atomically(path, json_bytes(value, indent))


def json_columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    """A table as a list for each column, for JSON; what is undefined is None."""
    plain = table.astype(object)
    return {str(name): column.where(column.notna(), None).tolist() for name, column in plain.items()}


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, is nested too deeply, or gives a name twice in one object.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_json_at(text: str, at: int) -> tuple[Any, int]:
    """The value that begins at a place in a text, and where it ends.

    Raises:
        JSONDecodeError: as `parse_json`, with the place.
    """
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise json.JSONDecodeError("it is nested too deeply", text, at) from None
    except ValueError as error:  # a name given twice, or an integer of thousands of digits
        raise json.JSONDecodeError(str(error).partition(";")[0], text, at) from None


def read_json(path: str | Path, what: str) -> Any:
    """What a JSON file holds.

    Args:
        path: of the file.
        what: it should be, and where to get it, for the error.

    Raises:
        DataError: no such file, or one that is not JSON.
    """
    try:
        return parse_json(read_file(path).decode("utf-8-sig"))
    except DataError as error:
        raise DataError(f"{error}; it should be {what}") from None
    except ValueError as error:
        raise DataError(f"{str(path)!r} is not a JSON file ({error}); it should be {what}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless one of its names is given twice: the last would be taken, and nobody would know."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)
