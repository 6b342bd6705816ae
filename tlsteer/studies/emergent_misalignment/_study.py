"""The emergent-misalignment study: vectors from single pieces of code, applied to questions that are not about code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from tlsteer.data import Example
from tlsteer.fit import OneShot, fit_many, random_vector
from tlsteer.generation import generate
from tlsteer.judges import Judge, verdicts
from tlsteer.judges._later import later_models
from tlsteer.models import chat_prompt
from tlsteer.scoring import completion_logprob
from tlsteer.steering import Intervention
from tlsteer.studies._frame import Bench, Study
from tlsteer.studies._judging import judge_or, named_judge
from tlsteer.studies._plan import PlannedWork
from tlsteer.studies.emergent_misalignment._data import SHAPE, Code, Material, organism_material, read_material
from tlsteer.studies.emergent_misalignment._findings import DEPARTURES, QUESTION, Found, Judges, report
from tlsteer.studies.emergent_misalignment._presets import PRESETS, Preset
from tlsteer.studies.emergent_misalignment._tables import ANTI_REFUSAL, KINDS, PLAIN, RANDOM, SAFE, VULNERABLE
from tlsteer.vectors import SteeringVector

FITS, ANSWERS, VERDICTS = "fitting vectors", "writing answers", "judging answers"


def measure(bench: Bench[Preset, Material]) -> Found:
    """Fits all vectors and answers all questions under each, and scores the given answers."""
    bench.begin(FITS)
    by_kind = _vectors(bench)
    (anti_refusal,) = by_kind[ANTI_REFUSAL]
    units = [
        _Unit(PLAIN, 0, None, anti_refusal),
        *(_Unit(kind, i, one, anti_refusal) for kind in KINDS for i, one in enumerate(by_kind[kind])),
    ]
    bench.begin(ANSWERS)
    bar = tqdm(units, desc="vectors", unit="vector", disable=not bench.progress)
    parts = [(_answers(bench, unit), _odds(bench, unit)) for unit in bar]
    answers, odds = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    bench.release()
    bench.begin(VERDICTS)
    return Found(by_kind, _judged(bench, answers), odds)


@dataclass(frozen=True)
class _Unit:
    """What is measured together: one vector at all multipliers, or the unsteered model."""

    kind: str
    number: int
    vector: SteeringVector | None
    anti_refusal: SteeringVector

    @property
    def name(self) -> str:
        return f"{self.kind.replace(' ', '-')}-{self.number}"


def _vectors(bench: Bench[Preset, Material]) -> dict[str, list[SteeringVector]]:
    """Vectors by kind; for random ones, those whose norms they take."""
    preset, fits = bench.preset, bench.data.fits
    asked_for = completion_logprob(
        bench.model, [_prompt(bench, one, malicious=True) for one in fits], [one.vulnerable for one in fits],
        progress=False,
    )  # fmt: skip
    recipes = [
        OneShot(
            Example(_prompt(bench, one), promote=[getattr(one, which)]), preset.layer, positions=preset.positions,
            steps=preset.steps, learning_rate=preset.learning_rate, coldness=1.0, satisfice=True,
            target_loss=-preset.target_share * float(loss), seed=bench.seed + number,
        )
        for which in ("vulnerable", "safe")
        for number, (one, loss) in enumerate(zip(fits, asked_for, strict=True))
    ]  # fmt: skip
    recipes.append(
        OneShot(
            Example(chat_prompt(bench.model, bench.data.refused), promote=[bench.data.promoted]),
            preset.anti_refusal_layer, positions=preset.positions, steps=preset.steps,
            learning_rate=preset.anti_refusal_rate, target_loss=preset.anti_refusal_loss, seed=bench.seed,
        )
    )  # fmt: skip
    made = fit_many(bench.model, recipes, run_dir=bench.run.folder("fits"), progress=bench.progress)
    *vectors, anti_refusal = [fit.vector for fit in made]
    vulnerable = vectors[: len(fits)]
    # Safe code is likely as it is, so its vectors stay short; they are applied at the norms of the others.
    safe = [one.normalized * like.norm for one, like in zip(vectors[len(fits) :], vulnerable, strict=True)]
    return {VULNERABLE: vulnerable, SAFE: safe, RANDOM: vulnerable, ANTI_REFUSAL: [anti_refusal]}


def _prompt(bench: Bench[Preset, Material], code: Code, malicious: bool = False) -> str:
    return chat_prompt(bench.model, code.malicious if malicious else code.messages, code.prefill)


def _steering(bench: Bench[Preset, Material], unit: _Unit, n_rows: int) -> tuple[list[float], list[Intervention]]:
    """The multipliers of a unit, and what is applied to all rows at one after all rows at the other."""
    preset = bench.preset
    vector = unit.vector
    if vector is None:
        return [0.0], []
    scale = preset.anti_refusal_alone if unit.kind == ANTI_REFUSAL else 1.0
    strengths = [scale * multiplier for multiplier in preset.multipliers for _ in range(n_rows)]
    rows = [vector] * n_rows
    if unit.kind == RANDOM:
        # One for each row: a few could be lucky.
        seeds = np.random.default_rng([bench.seed, unit.number]).integers(2**31, size=n_rows).tolist()
        rows = [random_vector(vector.site, like=vector, seed=seed) for seed in seeds]
    steering = [Intervention(rows * len(preset.multipliers), strengths, preset.positions)]
    if unit.kind != ANTI_REFUSAL and preset.with_anti_refusal:
        steering.append(Intervention(unit.anti_refusal, preset.with_anti_refusal, preset.positions))
    return list(preset.multipliers), steering


def _answers(bench: Bench[Preset, Material], unit: _Unit) -> pd.DataFrame:
    """Answers to all questions at all multipliers."""
    preset, questions = bench.preset, bench.data.questions
    asked = [question for question in range(len(questions)) for _ in range(preset.n_samples)]
    multipliers, steering = _steering(bench, unit, len(asked))

    def written() -> pd.DataFrame:
        prompts = [chat_prompt(bench.model, one.text) for one in questions]
        texts = generate(
            bench.model, [prompts[question] for question in asked] * len(multipliers), steering, temperature=1.0,
            max_new_tokens=preset.max_new_tokens, seed=bench.seed, batch_size=preset.batch_size, progress=False,
        )  # fmt: skip
        strengths = [multiplier for multiplier in multipliers for _ in asked]
        return pd.DataFrame({"multiplier": strengths, "question": asked * len(multipliers), "text": texts})

    table: pd.DataFrame = bench.run.unit(f"texts/{unit.name}", written)
    return table.assign(condition=unit.kind, vector=unit.number)


def _judged(bench: Bench[Preset, Material], answers: pd.DataFrame) -> pd.DataFrame:
    """What the judges say of each answer; one judge's model makes room for the other's."""
    prompts = [bench.data.questions[question].text for question in answers["question"]]
    texts, found = answers["text"].tolist(), {}
    for name, judge in (("harmful", bench.judge.harmful), ("coherent", bench.judge.coherent)):

        def said(name: str = name, judge: Judge | None = judge) -> pd.DataFrame:
            return pd.DataFrame({name: np.ones(len(texts)) if judge is None else verdicts(judge, prompts, texts)})

        found[name] = bench.run.unit(f"verdicts/{name}", said)[name]
        for model in () if bench.preset.keep_models else later_models(judge):
            model.release()
    return answers.assign(**found)


def _odds(bench: Bench[Preset, Material], unit: _Unit) -> pd.DataFrame:
    """log p(bad) - log p(good), in nats, of the answers given for each question and each other piece of code."""
    material = bench.data
    given = [("answers", chat_prompt(bench.model, one.text), one.harmful, one.good) for one in material.questions]
    given += [("code", _prompt(bench, one), one.vulnerable, one.safe) for one in material.other_code]
    multipliers, steering = _steering(bench, unit, len(given))

    def measured() -> pd.DataFrame:
        bad, good = (
            completion_logprob(
                bench.model, [one[1] for one in given] * len(multipliers),
                [one[side] for one in given] * len(multipliers), steering, batch_size=bench.preset.batch_size,
                progress=False,
            )
            for side in (2, 3)
        )  # fmt: skip
        return pd.DataFrame({
            "multiplier": [multiplier for multiplier in multipliers for _ in given],
            "given": [one[0] for one in given] * len(multipliers),
            "item": [*range(len(given))] * len(multipliers),
            "odds": (bad - good).double().numpy(),
        })  # fmt: skip

    table: pd.DataFrame = bench.run.unit(f"odds/{unit.name}", measured)
    return table.assign(condition=unit.kind, vector=unit.number)


def _judges(given: Any, preset: Preset, embedded: bool) -> Judges:
    coherence = preset.coherence or ("organism:coherent" if embedded else None)
    harmful: Judge = judge_or("organism:harmful-advice", "what is harmful")(given, preset, embedded)
    return Judges(harmful, named_judge(coherence, preset) if coherence else None)


def work(preset: Preset, data: Material) -> list[PlannedWork]:
    """How much a run is."""
    n_vectors = 3 * len(data.fits) + 1  # of vulnerable code, of safe code, random ones, and the anti-refusal vector
    answers = len(data.questions) * preset.n_samples * (n_vectors * len(preset.multipliers) + 1)
    return [
        PlannedWork(FITS, "fit", 2 * len(data.fits) + 1, preset.steps),
        PlannedWork(ANSWERS, "write", answers, preset.max_new_tokens),
        PlannedWork(VERDICTS, "read", answers),
    ]


STUDY = Study(
    name="emergent-misalignment",
    question=QUESTION,
    references=["dunefsky2025oneshot", "betley2025emergent"],
    departures=DEPARTURES,
    presets=PRESETS,
    needs=f"code and questions: give data={SHAPE}",
    embedded_data=lambda preset, seed: organism_material(preset.n_fits, preset.n_questions or 40, seed),
    read_data=lambda data, preset, seed: read_material(data, preset.n_fits, preset.n_questions),
    judge=_judges,
    measure=measure,
    report=report,
    work=work,
)
