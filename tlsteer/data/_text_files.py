"""Text files, plain or compressed: read with errors that name the file and the line, written whole."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tlsteer._arguments import checked
from tlsteer._json_files import json_bytes
from tlsteer._storage import read_file, write_atomically
from tlsteer.errors import DataError


def read_content(path: str | Path) -> bytes:
    """The bytes of a file, decompressed where its name ends in .gz.

    Raises:
        DataError: the file cannot be read.
    """
    content = read_file(path)
    if Path(path).suffix.lower() != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{str(path)!r} is not a gzip file ({error})") from None


def read_text(path: str | Path) -> str:
    """The text of a file; line ends stay as they are.

    Raises:
        DataError: the file cannot be read, is not UTF-8 text, or holds nothing.
    """
    content = read_content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{str(path)!r}, line {line}: not UTF-8 text") from None
    if not text.strip():
        raise DataError(f"{str(path)!r} is empty")
    return text


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        DataError: as `read_text`.
    """
    return [line.rstrip("\r") for line in read_text(path).split("\n") if line.strip()]


@checked
def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes one object per line, whole or not at all.

    >>> write_jsonl("prompts.jsonl", [{"prompt": "Who are you?"}]).read_text()
    '{"prompt": "Who are you?"}\\n'
    """
    return write_atomically(path, b"".join(json_bytes(row) + b"\n" for row in rows))
