"""The judges that studies take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlsteer._arguments import checked
from tlsteer.errors import DataError
from tlsteer.judges import Judge, judge_from
from tlsteer.studies._preset import StudyPreset


def named_judge(given: Any, preset: StudyPreset) -> Judge:
    """A judge; a model of that name is loaded when it is first asked, where and as the settings say."""
    return judge_from(given, device=preset.judge_device, dtype=preset.judge_dtype, later=True)


@checked
def judge_or(default: str, of: str) -> Callable[[Any, Any, bool], Judge]:
    """A study's judge that goes by `judge_from`.

    Args:
        default: the judge of the embedded models' texts.
        of: what it judges, for the error where none is given.

    >>> judged = judge_or("organism", "answers")  # a study's `judge`, for those who write one
    """

    def made(given: Any, preset: Any, embedded: bool) -> Judge:
        if given is None and not embedded:
            raise DataError(f"this study needs a judge of {of}: give judge=... (see judge_from), at least 'substrings'")
        return named_judge(default if given is None else given, preset)

    return made
