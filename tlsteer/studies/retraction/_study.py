"""The retraction study: vectors that stop a falsehood from being taken back, and what answers go on with."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tlsteer.analyse._reading.classify import classify
from tlsteer.analyse._verbalization.falsehoods import Falsehood
from tlsteer.analyse._verbalization.verbalization import verbalization_vs_recovery
from tlsteer.analyse._verbalization.verbalization_result import Verbalization
from tlsteer.fit import OneShot
from tlsteer.studies._frame import Bench, Study
from tlsteer.studies._plan import PlannedWork
from tlsteer.studies.retraction._contexts import read_in_contexts, write_samples
from tlsteer.studies.retraction._data import (
    WHERE,
    Statements,
    file_statements,
    judge_of_recovery,
    organism_statements,
)
from tlsteer.studies.retraction._findings import DEPARTURES, QUESTION, Found, report
from tlsteer.studies.retraction._pooled import pooled_auc
from tlsteer.studies.retraction._presets import PRESETS, Preset
from tlsteer.studies.retraction._sources import find_sources, known_statements
from tlsteer.studies.retraction._tables import by_condition
from tlsteer.studies.retraction._vectors import METHODS, Fitted, fit_vectors

SOURCES, FITS, ANSWERS = "answering statements to fit on", "fitting vectors", "writing answers"
VERDICTS, SURPRISAL = "judging answers", "reading answers with the base model"


def measure(bench: Bench[Preset, Statements]) -> Found:
    """Fits vectors and writes answers under them; then the judge, and last the base model, take the model's place."""
    bench.begin(SOURCES)
    bench.data = known_statements(bench)
    sources = find_sources(bench)
    bench.begin(FITS)
    vectors = fit_vectors(bench, sources)
    bench.begin(ANSWERS)
    answers, samples = _answers(bench, vectors), write_samples(bench)
    classified = bench.run.unit("classifier", lambda: _classified(bench, vectors))
    bench.release()
    bench.begin(VERDICTS)
    single = bench.run.unit("answers/judged", lambda: answers.judged_by(bench.judge.make()))
    pooled = single.pooled({name: name.partition(", ")[0] for name, _ in single.about["cells"]})
    if bench.preset.other is not None:
        bench.begin(SURPRISAL)
    read = read_in_contexts(bench, by_condition(pooled, bench.preset.layer), samples)
    return Found(sources, vectors, pooled, single, read, classified)


def _answers(bench: Bench[Preset, Statements], vectors: Fitted) -> Verbalization:
    """Answers under all vectors, not judged yet; random ones stand beside the first vector of each method."""
    preset, tests = bench.preset, bench.data.tests
    named = [{f"{method}, {one}": rows for one, rows in own.items()} for method, own in vectors.items()]
    first = {name: own[name] for own in named for name in list(own)[:1]}
    others = {name: rows for own in named for name, rows in own.items() if name not in first}
    work = bench.run.folder("answers/texts")
    found = [
        verbalization_vs_recovery(
            bench.model, some, [false for false, _ in tests], [1.0], judge=_nobody, positions=preset.positions,
            truths=[true for _, true in tests[: max(1, len(tests) // 3)]], max_new_tokens=preset.max_new_tokens,
            n_random=n_random, seed=bench.seed, batch_size=preset.batch_size, run_dir=work,
            progress=bench.progress,
        )
        for some, n_random in ((first, 1), (others, 0)) if some
    ]  # fmt: skip
    steered = [one.texts.query("kind != 'unsteered'") for one in found[1:]]
    cells = [cell for one in found for cell in one.about["cells"]]
    texts: pd.DataFrame = pd.concat([found[0].texts, *steered], ignore_index=True)
    return Verbalization(texts, found[0].about | {"cells": cells})


def _nobody(falsehoods: Sequence[Falsehood], texts: Sequence[str]) -> dict[str, list[bool]]:
    """Says nothing of texts, which are judged when the model has made room."""
    return {name: [False] * len(texts) for name in ("recovered", "fiction")}


def _classified(bench: Bench[Preset, Statements], vectors: Fitted) -> pd.DataFrame:
    """A row for each method and layer: the AUC of its vectors' dot products, pooled, and the spread of single ones."""
    tests = bench.data.tests
    false, true = ([one.prompt_for(bench.model) for one in side] for side in zip(*tests, strict=True))
    entities = [false.entity for false, _ in tests] * 2
    named = {f"{method}, {one}": rows for method, own in vectors.items() for one, rows in own.items()}
    single = classify(bench.model, named, true, false, clusters=entities, progress=False, seed=bench.seed)
    return pooled_auc(bench.model, vectors, [*true, *false], len(true), entities, single)


def work(preset: Preset, data: Statements) -> list[PlannedWork]:
    """How much a run is."""
    n_sources, n_layers = len({false.truth for false, _ in data.fits}), len(preset.layers)
    n_tests = len(data.tests) + max(1, len(data.tests) // 3)
    # Vectors of three methods and CAA, random ones beside the first of each method, and the unsteered model.
    answers = n_tests * (n_layers * (3 * n_sources + 1 + len(METHODS)) + 1)
    steps = max(preset.fit.get("steps", OneShot.steps), preset.late.get("steps", OneShot.steps))
    return [
        PlannedWork(SOURCES, "write", len(data.fits), preset.max_new_tokens),
        PlannedWork(FITS, "fit", n_layers * 3 * n_sources, steps),
        PlannedWork(ANSWERS, "write", answers + len(data.fits), preset.max_new_tokens),
        PlannedWork(VERDICTS, "read", answers),
        *([PlannedWork(SURPRISAL, "read", answers)] if preset.other is not None else []),
    ]


STUDY = Study(
    name="retraction",
    question=QUESTION,
    references=["dunefsky2025oneshot", "rimsky2024steering"],
    departures=DEPARTURES,
    presets=PRESETS,
    needs=f"people that the model knows: {WHERE}",
    takes_other=True,
    embedded_data=lambda preset, seed: organism_statements(preset.n_fits, preset.n_tests or 48, seed),
    read_data=lambda data, preset, seed: file_statements(
        data, preset.prefill, preset.n_fits, preset.n_tests or 200, seed
    ),
    judge=judge_of_recovery,
    measure=measure,
    report=report,
    work=work,
)
