"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tlsteer.errors import TlsteerError


def write_atomically(path: str | Path, content: bytes) -> Path:
    """Writes `content` to `path` through a temporary file beside it, creating parent folders.

    A reader sees the old file or the new one, never part of either.

    Raises:
        TlsteerError: the folder or the file cannot be written.
    """
    try:
        return _write(Path(path), content)
    except OSError as error:
        raise TlsteerError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
