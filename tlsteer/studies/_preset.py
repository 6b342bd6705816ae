"""What every study is given: settings, of which some are those of all, and data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from tlsteer._model_type import Model


@dataclass(frozen=True, kw_only=True)
class StudyPreset:
    """Settings of a study on one model. Each study adds its own, all of them with values that JSON or `repr` can write.

    Attributes:
        other: a second model to go with it, for studies that take one.
        dtype: in which a model given by name is loaded; that of `load_model` by default.
        batch_size: rows run at once.
        judge_device: where a judge model given by name runs; where the model does, by default.
        judge_dtype: in which it is loaded; that of `load_model` by default.
        keep_models: keep the model in memory while a judge or a second model works; else they take its place.

    >>> find_study("refusal").presets["organism"].batch_size
    """

    other: str | Path | Model | None = None
    dtype: str | None = None
    batch_size: int = 64
    judge_device: str | None = None
    judge_dtype: str | None = None
    keep_models: bool = False


@runtime_checkable
class StudyData(Protocol):
    """What a study runs on."""

    @property
    def hash(self) -> str:
        """Of all of it."""
        ...
