"""Settings of a study from where people keep them: a TOML or JSON file, or words of the command line."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from tlsteer._json_files import read_json
from tlsteer._keywords import check_names
from tlsteer._storage import read_file
from tlsteer.errors import DataError
from tlsteer.judges import Judge
from tlsteer.positions import Positions, positions_from
from tlsteer.runs import about_model
from tlsteer.studies._preset import StudyPreset

P = TypeVar("P")
S = TypeVar("S", bound=StudyPreset)
_WORDS = {"true": True, "false": False}


def preset_of(presets: Mapping[str, S], default: S | None, model: str) -> S | None:
    """The settings for a model of this name, a Hugging Face id or a path: its last part counts."""
    return presets.get(Path(model).name.lower().removesuffix("-hf"), default)


def settings_in_force(
    presets: Mapping[str, S], default: S | None, model: str, preset: str | Path | S | None, changed: Mapping[str, Any]
) -> S:
    """Those of a preset, with what a file and the call put in their place.

    Args:
        presets: by the names of models.
        default: for a model without one.
        model: the name of that which is studied.
        preset: settings, the name of some, or a file of some, in the place of the model's own.
        changed: the settings that the call changes.

    Raises:
        DataError: there are none, or one of them is no setting.
    """
    if isinstance(preset, StudyPreset):
        return preset_from(type(preset), preset, changed)
    kind = type(next(iter(presets.values())))
    base, given, asked = preset_of(presets, default, model), dict(changed), f"preset for {model!r}"
    if preset is not None and is_settings_file(preset):
        given = settings_in(preset) | given
    elif preset is not None:
        base, asked = presets.get(str(preset).lower()), f"preset {str(preset)!r}"
        given = given if base else {}
    if base is None:
        check_complete(kind, given, asked, presets)
    return preset_from(kind, base, given)


def is_settings_file(name: str | Path) -> bool:
    """Whether a preset's name is that of a file."""
    return Path(name).suffix in (".toml", ".json")


def settings_in(path: str | Path) -> dict[str, Any]:
    """The settings in a TOML or JSON file, by name.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    what = "settings of a study, by name"
    if Path(path).suffix == ".json":
        found = read_json(path, what)
    else:
        try:
            import tomllib  # pyright: ignore[reportMissingImports] # there from Python 3.11 on
        except ModuleNotFoundError:
            raise DataError(f"{str(path)!r}: Python reads TOML from 3.11 on; write the settings as JSON") from None
        try:
            found = tomllib.loads(read_file(path).decode())
        except (OSError, ValueError) as error:
            raise DataError(f"{str(path)!r} should hold {what}, as TOML: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{str(path)!r} should hold {what}; it holds a {type(found).__name__}")
    return found


def check_complete(kind: type, given: Mapping[str, Any], asked: str, presets: Iterable[str]) -> None:
    """Refuses settings that are to stand for themselves, and do not.

    Raises:
        DataError: none were given, or not all that have no default; `asked` is what there is no preset for.
    """
    required = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    missing = [name for name in required if name not in given]
    if missing or not given:
        need = f" with {' and '.join(missing)}" if missing else ""
        raise DataError(
            f"there is no {asked}; give preset= one of {', '.join(presets)}, or a TOML or JSON file{need}, or such "
            f"settings themselves ({', '.join(f'{one}=' for one in missing) or 'by name'})"
        )


def preset_from(kind: type[P], base: P | None, given: Mapping[str, Any]) -> P:
    """Settings of a kind, in the place of those of a base where there is one; texts are read as what they stand for.

    Raises:
        DataError: a name that is no setting, or a value of another type.
    """
    check_names(given, [field.name for field in fields(kind)], f"in {kind.__name__}")  # pyright: ignore
    hints = get_type_hints(kind)
    values = {name: _read(name, hints[name], value) for name, value in given.items()}
    return kind(**values) if base is None else replace(base, **values)  # pyright: ignore


def _read(name: str, hint: Any, value: Any) -> Any:
    try:
        return _value(hint, value)
    except (TypeError, ValueError):
        raise DataError(f"{name}={value!r} is no {_told(hint)}") from None


def _value(hint: Any, value: Any) -> Any:
    """A value as a type hint wants it; what is no text, number or list is taken as it is."""
    if hint == Positions:
        return positions_from(value) if isinstance(value, str) else value
    if get_origin(hint) in (Union, types.UnionType):
        hints = [one for one in get_args(hint) if one is not type(None)]
        # What may be several kinds of thing is for the study to read.
        return value if value is None or len(hints) > 1 else _value(hints[0], value)
    if get_origin(hint) is tuple:
        if isinstance(value, str):
            value = [value] if get_args(hint)[0] is str else value.split(",")
        several = value if isinstance(value, Sequence) else [value]
        return tuple(_value(get_args(hint)[0], one) for one in several)
    if hint is bool:
        return _WORDS[value.lower()] if isinstance(value, str) and value.lower() in _WORDS else _is(bool, value)
    if hint is int:
        return int(value) if isinstance(value, str) else _is(int, value)
    if hint is float:
        return float(value) if isinstance(value, str) or type(value) is int else _is(float, value)
    return _is(str, value) if hint is str else value


def _is(kind: type, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    return value


def _told(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else str(hint).replace("typing.", "")


def plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Judge):
        return value.name
    return about_model(value) if hasattr(value, "cfg") else repr(value)
