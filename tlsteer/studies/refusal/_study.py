"""The refusal study: vectors from single refused requests, and every attack tried on the same test requests."""

from __future__ import annotations

import pandas as pd

from tlsteer.studies._frame import Bench, Study
from tlsteer.studies._judging import judge_or
from tlsteer.studies._plan import PlannedWork
from tlsteer.studies.refusal._attacks import CAA, CHOICE, HARMFUL, Attacks, chosen_contrast
from tlsteer.studies.refusal._data import WHERE, Requests, file_requests, organism_requests
from tlsteer.studies.refusal._directional_ablation import ablate_everywhere
from tlsteer.studies.refusal._findings import DEPARTURES, QUESTION, Found, report
from tlsteer.studies.refusal._presets import PRESETS, Preset
from tlsteer.studies.refusal._vectors import CLAMP, FITTED, WAYS, Fitting

FITS, DIRECTIONS, ANSWERS = "fitting vectors", "choosing a direction on requests", "writing answers"
PATHS, VERDICTS = "following paths between vectors", "judging answers"


def measure(bench: Bench[Preset, Requests]) -> Found:
    """Fits all vectors and tries every attack; then, with the model gone, the judge is asked."""
    attacks, fitting = Attacks(bench), Fitting(bench)
    bench.begin(FITS)
    fitted = fitting.vectors()
    bench.begin(DIRECTIONS)
    direction, scores, passed = attacks.direction()
    contrasts, strengths = attacks.contrast(direction), bench.preset.multipliers
    bench.begin(ANSWERS)
    choosing = attacks.tried(CHOICE, vectors=contrasts, multipliers=strengths, on={HARMFUL: bench.data.selection[0]})
    answers = [
        attacks.tried("unsteered"),
        attacks.tried("prefill", prefilled=True),
        attacks.tried(CAA, vectors=contrasts, multipliers=strengths),
        attacks.tried("directional ablation", also={"chosen direction": ablate_everywhere(bench.model, direction)}),
        *(attacks.tried(attack, vectors=own) for attack, own in fitted.items()),
    ]
    bench.begin(PATHS)
    paths = fitting.connectivity(fitted)
    bench.release()
    bench.begin(VERDICTS)
    unsteered, prefill, caa, *others = [attacks.judged(one) for one in answers]
    name, multiplier, choice, caa = chosen_contrast(attacks.judged(choosing), caa)
    return Found(
        answers=pd.concat([unsteered, prefill, caa, *others], ignore_index=True), paths=paths, fitted=fitted,
        direction=direction, scores=scores, passed=passed, caa=contrasts[name], multiplier=multiplier, choice=choice,
        harmless_judge=attacks.harmless_judge,
    )  # fmt: skip


def work(preset: Preset, data: Requests) -> list[PlannedWork]:
    """How much a run is."""
    n_fits, n_tests = len(data.fits), len(data.harmful) + len(data.harmless)
    n_tried = 4 + (len(FITTED) + len(WAYS)) * n_fits  # unsteered, prefill, CAA and ablation, each at least once
    n_choices = 2 * len(preset.multipliers)
    n_kinds = len({(objective, way == CLAMP) for objective, way in FITTED})  # what is added and clamped is fitted once
    answers = n_tests * (n_tried + n_choices) + len(data.selection[0]) * n_choices
    return [
        PlannedWork(FITS, "fit", n_kinds * n_fits, max(preset.steps, preset.suppression_steps or 0)),
        PlannedWork(DIRECTIONS, "read", len(data.selection[0]) + len(data.selection[1])),
        PlannedWork(ANSWERS, "write", answers, preset.max_new_tokens),
        PlannedWork(PATHS, "read", 2 * n_fits * (2 * n_fits - 1) // 2),
        PlannedWork(VERDICTS, "read", answers),
    ]


STUDY = Study(
    name="refusal",
    question=QUESTION,
    references=["dunefsky2025oneshot", "arditi2024refusal"],
    departures=DEPARTURES,
    presets=PRESETS,
    needs=f"harmful requests: give data={WHERE}, or a folder with train.json (or val) and test.json",
    embedded_data=organism_requests,
    read_data=file_requests,
    judge=judge_or("organism", "answers"),
    measure=measure,
    report=report,
    work=work,
)
