"""Which studies there are, and where one of one's own is found."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tlsteer._arguments import checked
from tlsteer.errors import DataError

if TYPE_CHECKING:
    from tlsteer.studies._frame import Study


def study_names() -> list[str]:
    """The names of the studies that come with tlsteer: each folder here is one.

    >>> study_names()
    ['alignment-faking', 'emergent-misalignment', 'persona-reliability', 'refusal', 'retraction']
    """
    return [one.name.replace("_", "-") for one in pkgutil.iter_modules([str(Path(__file__).parent)]) if one.ispkg]


@checked
def find_study(name: str) -> Study:
    """A study by its name, or one of one's own by where it is: `package.module:OBJECT`.

    Raises:
        DataError: there is no such study, or the object is not one.

    >>> find_study("refusal") is ts.studies.refusal.STUDY
    True
    >>> find_study("refusal").run("google/gemma-2-2b-it", data="harmbench.json", judge="substrings")  # doctest: +SKIP
    >>> find_study("my_package.flattery:FLATTERY")  # doctest: +SKIP
    """
    if name in study_names():
        return import_module(f"tlsteer.studies.{name.replace('-', '_')}").STUDY
    known = f"the studies are {', '.join(study_names())}; one of your own is MODULE:OBJECT"
    if ":" not in name:
        raise DataError(f"there is no study {name!r}; {known}")
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"there is no study {name!r} ({error}); {known}") from None

    from tlsteer.studies._frame import Study

    if not isinstance(found, Study):
        raise DataError(f"{name!r} is a {type(found).__name__} and no Study; {known}")
    return found
