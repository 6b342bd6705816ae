"""Results whose numbers are counted from a table of texts: the table and what was run, as one JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tlsteer._json_files import json_columns, read_json, write_json
from tlsteer.errors import DataError


def save_texts(path: str | Path, kind: str, texts: pd.DataFrame, about: Mapping[str, Any]) -> Path:
    """Writes a table of texts with a column `layer`, and what was run; whole or not at all."""
    return write_json(path, {kind: about, "texts": json_columns(texts)})


def load_texts(path: str | Path, kind: str, what: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The texts and what was run, as `save_texts` wrote them.

    Args:
        path: of the file.
        kind: of the result.
        what: the file should hold, for the error.

    Raises:
        DataError: no such file, or one that is something else.
    """
    content = read_json(path, f"{what} saved by tlsteer")
    try:
        return pd.DataFrame(content["texts"]).astype({"layer": "Int64"}), content[kind]
    except (ArithmeticError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{str(path)!r} is not {what} saved by tlsteer ({error!r})") from None
