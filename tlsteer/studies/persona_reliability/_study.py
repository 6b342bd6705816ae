"""The persona-reliability study: vectors of many datasets, on one model and then on another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tlsteer.evaluate._many_datasets import check_request
from tlsteer.evaluate._propensity import MULTIPLIERS
from tlsteer.studies._frame import Bench, Study
from tlsteer.studies._plan import PlannedWork
from tlsteer.studies.persona_reliability._data import WHERE, Personas, organism_personas, personas_from_files
from tlsteer.studies.persona_reliability._findings import DEPARTURES, QUESTION, report
from tlsteer.studies.persona_reliability._measures import Measured, measure_on, work_on
from tlsteer.studies.persona_reliability._presets import PRESETS, Preset


def measure(bench: Bench[Preset, Personas]) -> list[Measured]:
    """The numbers of the model and, where there is one, of the second."""
    measured, other = [measure_on(bench, "first", bench.model, bench.preset.layers)], bench.preset.other
    if other is None:
        return measured
    own = bench.study.preset_of(str(other)) if isinstance(other, str | Path) else None
    layers = bench.changed.get("layers", own.layers if own else None)
    second = measure_on(bench, "second", bench.second_model(), layers)
    if second.model == measured[0].model:
        second = replace(second, model=f"{second.model} (second)")
    return [*measured, second]


def work(preset: Preset, data: Personas) -> list[PlannedWork]:
    """How much a run is."""
    models = ["first"] if preset.other is None else ["first", "second"]
    return [one for model in models for one in work_on(model, data)]


def _read(data: Any, preset: Preset, seed: int) -> Personas:
    return _checked(personas_from_files(data, preset.questions, seed, preset.system, preset.after_letter), seed)


def _checked(personas: Personas, seed: int) -> Personas:
    check_request(personas.choices, "diff_means", MULTIPLIERS, seed)
    return personas


STUDY = Study(
    name="persona-reliability",
    question=QUESTION,
    references=["tan2024analysing", "rimsky2024steering", "perez2022discovering"],
    writes=False,
    departures=DEPARTURES,
    presets=PRESETS,
    default=Preset(),
    needs=f"questions: {WHERE}",
    takes_other=True,
    embedded_data=lambda preset, seed: _checked(organism_personas(preset.questions, seed), seed),
    read_data=_read,
    measure=measure,
    report=report,
    work=work,
)
