"""Rows with named fields, from whatever people keep them in."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, TypeVar

from tlsteer._arguments import checked
from tlsteer.data._json_rows import read_json_rows
from tlsteer.data._text_files import read_content, read_text
from tlsteer.errors import DataError

# A path, or a table: a DataFrame, a datasets.Dataset or DatasetDict, mappings from fields to values.
Source = Any
T = TypeVar("T")

_JSON = (".jsonl", ".ndjson", ".json")
# NUL, and halves of characters, which JSON can write and nothing can encode.
_NO_TEXT = re.compile("[\\0\ud800-\udfff]")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Row:
    """Fields with their values, and where they are from.

    Attributes:
        where: the file and the line, for errors.
        values: by field, without those that are missing.

    >>> [(row.where, row.values["prompt"]) for row in read_rows(pd.DataFrame({"prompt": ["Is it?"]}))]
    """

    where: str
    values: Mapping[str, Any]

    def text(self, field: str) -> str:
        """The text in a field.

        Raises:
            DataError: the field is missing, or holds something else.
        """
        return self._checked(field, self.values.get(field))

    def texts(self, field: str) -> list[str]:
        """The texts in a field that holds one or a list of them; none where the field is missing.

        Raises:
            DataError: the field holds something else.
        """
        value = self.values.get(field, [])
        if not isinstance(value, list):
            return [self._checked(field, value, " or a list of texts")]
        return [self._checked(field, one, " or a list of texts") for one in value]

    def label(self, field: str) -> str:
        """The text or the whole number in a field, as a text; empty where the field is missing.

        Raises:
            DataError: the field holds something else.
        """
        value = self.values.get(field, "")
        return str(value) if isinstance(value, int) else self._checked(field, value)

    def flag(self, field: str) -> bool:
        """The truth value in a field, which tables of text write as true or false; False where it is missing.

        Raises:
            DataError: the field holds something else.
        """
        value = self.values.get(field, False)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise self.error(f"the field {field!r} has to be true or false, got {value!r:.80}")
        return value

    def check(self, what: str, forms: Sequence[Sequence[str]], optional: Sequence[str] | None = None) -> None:
        """Refuses a row without the fields that it needs.

        Args:
            what: it is read as, for the error.
            forms: fields that are needed; any of these lists will do.
            optional: what else it may have, so that a misspelt field is an error; anything by default.

        Raises:
            DataError: what it has, and what it needs.
        """
        names = self.values.keys()
        known = {*(name for form in forms for name in form), *(optional or ())}
        unknown = [name for name in names if name not in known] if optional is not None else []
        if unknown or not any(set(form) <= names for form in forms):
            said = f"the field {unknown[0]!r} is unknown; " if unknown else ""
            also = f" and may have ({_listed(optional)})" if optional else ""
            needs = " or ".join(f"({_listed(form)})" for form in forms)
            raise self.error(f"{said}{what} needs the fields {needs}{also}; this row has ({_listed(names)})")

    def made(self, make: Callable[..., T], *more: Any) -> T:
        """What is made of the row, with the row named in every error."""
        try:
            return make(self, *more)
        except DataError as error:
            raise error if str(error).startswith(f"{self.where}: ") else self.error(str(error)) from None

    def error(self, reason: str) -> DataError:
        """An error about this row."""
        return DataError(f"{self.where}: {reason}")

    def _checked(self, field: str, value: Any, more: str = "") -> str:
        if not isinstance(value, str):
            raise self.error(f"the field {field!r} has to be a text{more}, got {value!r:.80}")
        if _NO_TEXT.search(value):
            raise self.error(f"the field {field!r} holds a NUL or half a character, so it is no text: {value!r:.80}")
        return value


@checked
def read_rows(source: Source, what: str = "") -> list[Row]:
    """The rows of a file or a table.

    | source | rows |
    |---|---|
    | .jsonl, .ndjson | one object per line |
    | .json | a list of objects, or one object per line |
    | .csv, .tsv | a line of names, then one row per line |
    | .parquet | read by pandas |
    | a pandas DataFrame, a datasets.Dataset | its rows |
    | a datasets.DatasetDict | the rows of its only split; several are an error |
    | a list, or anything that gives mappings | the mappings |

    The text formats may be compressed (.jsonl.gz); a file without an ending is read as .jsonl. What a row has no value
    for (null, None, NaN, an empty cell of .csv or .tsv) is a field that it does not have.

    Args:
        source: a path or a table.
        what: it should be, and where to get it, for the error.

    Raises:
        DataError: a source that cannot be read, or that holds something else than rows; file and line are named.

    >>> pd.DataFrame({"prompt": ["Is it?"]}).to_csv("prompts.csv.gz", index=False)
    >>> read_rows("prompts.csv.gz")[0].values
    {'prompt': 'Is it?'}
    >>> read_rows(datasets.load_dataset("Anthropic/model-written-evals", split="train"))  # doctest: +SKIP
    """
    try:
        rows = [_row(where, values) for where, values in _records(source)]
        if not rows:
            raise DataError(f"{repr(str(source)) if isinstance(source, str | Path) else 'the table'} holds no rows")
    except DataError as error:
        raise DataError(f"{error}; it should be {what}" if what else str(error)) from None
    return rows


@checked
def is_table(path: str | Path) -> bool:
    """Whether a file's name has one of the endings of this module.

    >>> is_table("pairs.csv.gz"), is_table("prompts.txt")
    (True, False)
    """
    return _ending(Path(path)) in (*_JSON, *_DELIMITERS, ".parquet")


@checked
def name_of(path: str | Path) -> str:
    """What a dataset in a file is called: the file's name without its endings.

    >>> name_of("persona/desire-for-power.jsonl")
    'desire-for-power'
    """
    path = Path(path)
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def _records(source: Source) -> Iterator[tuple[str, Any]]:
    """Where each row stands, and what is there."""
    if isinstance(source, str | Path):
        return _from_file(Path(source))
    if hasattr(source, "itertuples"):
        return _from_frame(source, "the given rows")
    if isinstance(source, Mapping):
        return _records(_only_split(source))
    if isinstance(source, Iterable) and not isinstance(source, bytes) and getattr(source, "ndim", 1):
        return _numbered(source, "the given rows")
    raise DataError(
        f"a {type(source).__name__} holds no rows; give a path, a DataFrame, a datasets.Dataset or a list of dicts"
    )


def _from_file(path: Path) -> Iterator[tuple[str, Any]]:
    ending = _ending(path)
    if ending in _DELIMITERS:
        return _from_table(path, _DELIMITERS[ending])
    if ending == ".parquet":
        return _from_parquet(path)
    if ending in ("", *_JSON):
        return ((f"{str(path)!r}, line {line}", values) for line, values in read_json_rows(path))
    raise DataError(
        f"{str(path)!r}: files of rows end in .jsonl, .json, .csv or .tsv, all of these also in .gz, or in .parquet"
    )


def _ending(path: Path) -> str:
    return (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()


def _from_table(path: Path, delimiter: str) -> Iterator[tuple[str, dict[str, str | None]]]:
    text = read_text(path)
    table = csv.DictReader(StringIO(text, newline=""), restkey="", delimiter=delimiter, strict=True)
    try:
        names = list(table.fieldnames or ())
        if len(set(names)) < len(names) or "" in names:
            wrong = next(name for name in names if not name or names.count(name) > 1)
            raise DataError(f"{str(path)!r}, line 1: the field {wrong!r} is named twice or not at all")
        for values in table:
            if "" in values or None in values.values():
                raise DataError(f"{str(path)!r}, line {table.line_num}: it has not the {len(names)} fields of line 1")
            # A table of text has no other way to leave a value out.
            yield f"{str(path)!r}, line {table.line_num}", {name: value or None for name, value in values.items()}
    except csv.Error as error:
        raise DataError(f"{str(path)!r}, line {table.line_num + 1}: not {path.suffix[1:].upper()} ({error})") from None


def _from_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pandas as pd

    content = BytesIO(read_content(path))
    try:
        frame = pd.read_parquet(content)
    except ImportError:
        raise DataError(f"{str(path)!r}: reading parquet needs pyarrow; install it with: pip install pyarrow") from None
    except Exception as error:  # whatever the library of the day raises
        raise DataError(f"{str(path)!r} is not a parquet file ({error})") from None
    return _from_frame(frame, repr(str(path)))


def _from_frame(frame: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not frame.columns.is_unique:
        raise DataError(f"{name} name a column twice: {list(frame.columns)}")
    return _numbered(frame.to_dict("records"), name)


def _only_split(splits: Mapping[Any, Any]) -> Any:
    if len(splits) == 1 and isinstance(table := next(iter(splits.values())), Iterable) and not isinstance(table, str):
        return table
    raise DataError(
        f"a {type(splits).__name__} with {_listed(splits) or 'nothing'} is not a list of rows; give one of its parts, "
        "as in data['train']"
    )


def _numbered(records: Iterable[Any], name: str) -> Iterator[tuple[str, Any]]:
    return ((f"{name}, row {number}", values) for number, values in enumerate(records, 1))


def _row(where: str, values: Any) -> Row:
    if not isinstance(values, Mapping):
        raise DataError(f"{where}: a mapping from fields to values is needed, got {values!r:.80}")
    if wrong := [name for name in values if not isinstance(name, str)]:
        raise DataError(f"{where}: fields have texts for names, got {wrong[0]!r:.80}")
    plain = {name: _plain(value) for name, value in values.items()}
    return Row(where, {name: value for name, value in plain.items() if value is not None})


def _plain(value: Any) -> Any:
    """A value of a table as Python's own; None where it is missing."""
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        value = value.tolist()
    if type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    return list(value) if isinstance(value, tuple) else value


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names))
