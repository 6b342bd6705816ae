"""A run directory: units of work computed once and kept, so that a run can be stopped at any moment."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tlsteer._storage import inside, is_temporary, temporary_beside, writable_folder
from tlsteer._store import Store
from tlsteer.errors import DataError, StorageError, TlsteerError
from tlsteer.runs._config import FILE, changed, full_config, read_config, taken_up, write_config
from tlsteer.runs._kept import find_kept, keep, load_kept

try:
    import fcntl
except ImportError:  # Windows: there, a second process on the same folder goes unnoticed
    fcntl = None

_LOCK, _UNITS, _CHECKSUMS = ".lock", "units", "checksums"
_NAME = re.compile(r"[\w+=,-][\w+=,.-]*(/[\w+=,-][\w+=,.-]*)*")


class RunDirectory:
    """A folder with a run's config and its finished units; use it in a `with` block, which holds its lock.

    What is killed loses the unit in flight and nothing else. A unit's value is always read from its file, so a run
    that was resumed gives what an uninterrupted one gives.

    Args:
        path: the folder, new or of an earlier run with the same config; None for one that goes away in the end.
        config: all that the result depends on, as JSON values: arguments, seed, models (see `about_model`), hashes of
            the data. Versions of the packages in use are added.

    Raises:
        DataError: a folder that is in use, was made by another config, or holds other files.

    >>> with RunDirectory("runs/mine", {"study": "mine", "seed": 0, "model": about_model(model)}) as run:
    ...     rates = run.unit("rates/caa", lambda: attack_success(model, vector, requests, "organism").rates)  # kept
    ...     curve = propensity(model, vector, choices, [-1, 0, 1], run_dir=run.folder("curve"))
    """

    def __init__(self, path: str | Path | None, config: Mapping[str, Any]) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="tlsteer-run-") if path is None else None
        self.path = Path(self._temporary.name if self._temporary else path)  # pyright: ignore[reportArgumentType]
        self.config = full_config(config)
        self._asked: set[str] = set()
        self._lock: int | None = None

    def __enter__(self) -> RunDirectory:
        # Nothing is written to a folder, and nothing removed from it, before it is known to be that of this run.
        self._check_empty_or_same()
        writable_folder(self.path)
        alone = self._take_lock()
        try:
            self._take_up(alone)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def is_resumed(self) -> bool:
        """Whether it keeps what an earlier call, or this one, has done."""
        return (self.path / _UNITS).exists()

    def unit(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value of one unit of work, computed now or kept from an earlier call.

        A damaged file is warned of, and its unit made again. What cannot be written is warned of, and handed over.

        Args:
            name: of the unit, each once in a run; `/` makes folders.
            compute: gives a value of a kind that `keep` takes.

        Raises:
            DataError: a name given twice or with other characters, a value of no such kind, or the folder is gone.
        """
        stem = self._claim(name)
        kept = find_kept(stem)
        if kept is not None and self._is_whole(kept):
            try:
                return load_kept(inside(self.path, str(kept.relative_to(self.path))))
            except TlsteerError as error:
                warnings.warn(f"{error}; the unit {name!r} is made again", stacklevel=2)
        value = compute()
        try:
            return load_kept(self._keep_whole(value, stem, kept))
        except StorageError as error:
            warnings.warn(f"{error}; the unit {name!r} is handed over, and is not kept", stacklevel=2)
            return value

    def folder(self, name: str) -> Path:
        """A folder for work that keeps its own units: give it as `run_dir`."""
        return self._claim(name)

    def _claim(self, name: str) -> Path:
        if self._lock is None:
            raise DataError("a run is used inside its with block: with RunDirectory(path, config) as run: ...")
        if not _NAME.fullmatch(name):
            raise DataError(f"{name!r} cannot name a unit; use letters, digits, _ + = , . - and / for folders")
        if name in self._asked:
            raise DataError(f"the unit {name!r} was asked for twice; say in its name what tells the two apart")
        if not (self.path / FILE).exists():
            raise DataError(f"the folder {str(self.path)!r} of this run has disappeared; start it again")
        self._asked.add(name)
        return inside(self.path, f"{_UNITS}/{name}")

    def _check_empty_or_same(self) -> None:
        if not os.path.exists(self.path):  # which says of no name that it cannot be one
            return
        if not self.path.is_dir():
            raise DataError(f"{str(self.path)!r} is a file; give the folder of a run")
        others = [file.name for file in self.path.glob("*") if not file.name.startswith(".")]
        if FILE in others:
            self._check_same()
        elif others:
            raise DataError(f"{str(self.path)!r} holds {sorted(others)[0]!r} and no run; give a new folder")

    def _check_same(self) -> dict[str, Any]:
        """The config of the run that is there."""
        made = read_config(self.path)
        for setting, theirs, mine in changed(made, self.config):
            may_differ = setting.startswith("versions.") and setting != "versions.tlsteer"
            accept = ", resume it with --accept-versions (in Python, accepting_versions)" if may_differ else ""
            raise DataError(
                f"{str(self.path)!r} is a run with {setting} = {theirs!r}, and now it is {mine!r}; "
                f"give another folder{accept}, or delete this one"
            )
        return made

    def _take_lock(self) -> bool:
        """Whether it is certain that no other process is at work in the folder."""
        try:
            # A link would make a file somewhere else.
            self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise StorageError(f"{str(self.path / _LOCK)!r} cannot be written: {error.strerror}") from None
        if fcntl is None:
            return False
        try:
            # The system gives the lock back when the process ends, however it ends.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise DataError(f"another process is at work in {str(self.path)!r}; wait, or give another folder") from None
        except OSError as error:
            said = f"{str(self.path)!r} is where nothing can be locked ({error.strerror})"
            warnings.warn(f"{said}; see that no other process works in it", stacklevel=3)
            return False
        return True

    def _take_up(self, alone: bool) -> None:
        if (self.path / FILE).exists():
            made = self._check_same()  # again: another process may have begun a run before the lock was taken
            self.config = taken_up(made, self.config)
            if self.config != made:
                write_config(self.path, self.config)
        else:
            write_config(self.path, self.config)
        if alone:
            _remove_unfinished(self.path)
        self._checksums = Store(inside(self.path, _CHECKSUMS))

    def _is_whole(self, kept: Path) -> bool:
        checksum = self._checksums.get(_key(kept.relative_to(self.path)))
        if checksum is None:  # it was cut short before it was done
            return False
        if checksum != _checksum(kept):
            warnings.warn(f"{str(kept)!r} is not what was written there; it is made again", stacklevel=3)
            return False
        return True

    def _keep_whole(self, value: Any, stem: Path, damaged: Path | None) -> Path:
        """Keeps a value under a name of unfinished things first, so that its own name means it is whole."""
        try:
            if not (self.path / FILE).exists():
                raise StorageError(f"the folder {str(self.path)!r} of this run has disappeared")
            hidden = temporary_beside(stem)
            hidden.mkdir(parents=True)
            try:
                kept = keep(value, hidden / stem.name)
                if damaged is not None:
                    _remove(damaged)
                whole = kept.rename(stem.parent / kept.name)
            finally:
                shutil.rmtree(hidden)
        except OSError as error:
            raise StorageError(f"{str(stem)!r} cannot be written: {error.strerror}") from error
        self._checksums.put(_key(whole.relative_to(self.path)), _checksum(whole))
        return whole


def _remove_unfinished(folder: Path) -> None:
    for where, folders, files in os.walk(folder):  # which follows no links
        for name in filter(is_temporary, map(Path(where).joinpath, [*folders, *files])):
            _remove(name)
        folders[:] = [name for name in folders if not is_temporary(Path(name))]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _checksum(kept: Path) -> str:
    """Of a file, or of all files in a folder and their names."""
    digest = hashlib.sha256()
    for file in sorted(kept.rglob("*")) if kept.is_dir() else [kept]:
        if file.is_file():
            digest.update(f"{file.relative_to(kept)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _key(kept: Path) -> str:
    return hashlib.sha256(kept.as_posix().encode()).hexdigest()
