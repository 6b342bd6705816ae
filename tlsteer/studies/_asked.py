"""What a call of a study asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tlsteer.studies._preset import StudyData, StudyPreset

P = TypeVar("P", bound=StudyPreset)
D = TypeVar("D", bound=StudyData)
M = TypeVar("M")


@dataclass(frozen=True)
class Asked(Generic[P, D]):
    """What a call asks for; the fields are those of `Bench` (see `studies._frame`)."""

    preset: P
    data: D
    judge: Any
    embedded: bool
    changed: Mapping[str, Any]
    command: str
