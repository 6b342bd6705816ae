"""The alignment-faking study: vectors from monitored scenarios, tried both ways on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from tlsteer._residuals import mean_norms
from tlsteer._surface import Surface
from tlsteer.analyse._comparison.comparison import compare_vectors
from tlsteer.analyse._comparison.comparison_result import VectorComparison
from tlsteer.analyse._reading.classify import classify
from tlsteer.data import Choice, Example
from tlsteer.evaluate._flipping import flip_rates, flips
from tlsteer.evaluate._steered_texts import steered_texts
from tlsteer.fit import OneShot, fit_many
from tlsteer.sites import Site
from tlsteer.studies._frame import Bench, Study
from tlsteer.studies._plan import PlannedWork
from tlsteer.studies.alignment_faking._data import WHERE, Scenario, Scenarios, organism_faking, poser_faking
from tlsteer.studies.alignment_faking._findings import DEPARTURES, QUESTION, Found, chosen, report, signed
from tlsteer.studies.alignment_faking._presets import PRESETS, Preset
from tlsteer.studies.alignment_faking._sure import sure_scenarios
from tlsteer.tokens import encode_completion, encode_prompts, pad
from tlsteer.vectors import SteeringVector

FITS, ANSWERS = "fitting vectors", "answering scenarios"
_SHOWN, _SHOWN_TOKENS = 12, 12


def measure(bench: Bench[Preset, Scenarios]) -> Found:
    """Fits all vectors, chooses a norm and a vector, and answers the tests under all of them."""
    bench.begin(FITS)
    n_tests, bench.data = len(bench.data.tests), sure_scenarios(bench)
    vectors = _fitted(bench)
    bench.begin(ANSWERS)
    choosing = _answers(bench, "choosing", bench.data.choosing, vectors, n_random=0)
    norm, best = chosen(flip_rates(choosing, over="norm"))
    answers = _answers(bench, "tests", bench.data.tests, vectors)
    own = {name: vector for name, vector in vectors.items() if name.startswith(f"norm {norm:g},")}
    return Found(
        norm=norm, best=best, answers=answers, vectors=own,
        alike=bench.run.unit("cosines", lambda: _compared(bench, own)),
        classified=bench.run.unit("classifier", lambda: _classified(bench, own)),
        texts=_texts(bench, own[f"norm {norm:g}, {best}"]), n_left_out=n_tests - len(bench.data.tests),
    )  # fmt: skip


def _fitted(bench: Bench[Preset, Scenarios]) -> dict[str, SteeringVector]:
    """By name: a vector for each norm and scenario."""
    preset, fits = bench.preset, bench.data.fits
    surface, site = Surface(bench.model), Site(preset.layer)
    unit = 1.0
    if preset.relative:
        rows = encode_prompts(surface, [one.prompt for one in fits])
        unit = mean_norms(surface, rows, [site.resolve(surface.n_layers)]).item()
    problems = [_problem(bench, surface, one) for one in fits]
    names = [(norm, number) for norm in preset.norms for number in range(len(fits))]
    recipes = [
        OneShot(
            problems[number][0], site, max_norm=norm * unit, start_norm=norm * unit, steps=preset.steps,
            learning_rate=preset.learning_rate, coldness=preset.coldness, target_loss=problems[number][1],
            target_of="each", seed=bench.seed + number,
        )
        for norm, number in names
    ]  # fmt: skip
    made = fit_many(bench.model, recipes, run_dir=bench.run.folder("fits"), progress=bench.progress)
    return {f"norm {norm:g}, scenario {number}": fit.vector for (norm, number), fit in zip(names, made, strict=True)}


def _problem(
    bench: Bench[Preset, Scenarios], surface: Surface, scenario: Scenario
) -> tuple[list[Example], list[float]]:
    """A scenario and its twin as examples, and each completion's target loss in nats."""
    examples, targets = [], []
    for prompt, harmful, benign in (
        (scenario.prompt, scenario.harmful, scenario.benign),
        (scenario.swapped, scenario.benign, scenario.harmful),
    ):
        letters = [encode_completion(surface, prompt, letter) for letter in (harmful, benign)]
        with torch.no_grad():
            logits = surface.forward(*pad(surface, [letters[0][0]], "left"), last=True)[0, -1].float()
        chances = (bench.preset.coldness * logits).softmax(-1)
        of_harmful, of_benign = (float(chances[after[0]]) for _, after in letters)
        examples.append(Example(prompt, promote=[harmful], suppress=[benign]))
        targets += [-float(np.log(of_benign)), -float(np.log1p(-of_harmful))]
    return examples, targets


def _answers(
    bench: Bench[Preset, Scenarios],
    work: str,
    scenarios: Sequence[Scenario],
    vectors: Mapping[str, SteeringVector],
    n_random: int = 1,
) -> pd.DataFrame:
    """A row for each scenario under each vector and sign: what is answered, and what was before."""
    choices = [
        Choice(prompt=one.prompt, positive=one.harmful, negative=one.benign, id=str(number))
        for number, one in enumerate(scenarios)
    ]
    answers = flips(
        bench.model, vectors, choices, n_random=n_random, batch_size=bench.preset.batch_size,
        seed=bench.seed, run_dir=bench.run.folder(work), progress=bench.progress,
    ).answers  # fmt: skip
    parts = answers["vector"].str.extract(r"^norm ([^,]+), (.*)$")
    return answers.assign(norm=parts[0].astype(float), vector=parts[1])


def _compared(bench: Bench[Preset, Scenarios], vectors: Mapping[str, SteeringVector]) -> VectorComparison:
    texts = [one.prompt for one in bench.data.tests]
    return compare_vectors(vectors, model=bench.model, texts=texts, seed=bench.seed)


def _classified(bench: Bench[Preset, Scenarios], vectors: Mapping[str, SteeringVector]) -> pd.DataFrame:
    kinds = [[one.prompt for one in bench.data.tests if one.monitored is side] for side in (False, True)]
    return classify(
        bench.model, vectors, *kinds, layers=[bench.preset.layer], batch_size=bench.preset.batch_size,
        progress=bench.progress, seed=bench.seed,
    )  # fmt: skip


def _texts(bench: Bench[Preset, Scenarios], vector: SteeringVector) -> pd.DataFrame:
    """What the model writes to some of the tests, unsteered and under both signs."""
    sides = [[one for one in bench.data.tests if one.monitored is side][:_SHOWN] for side in (True, False)]
    shown = [one for side in sides for one in side]
    tables = steered_texts(
        bench.model, [one.prompt for one in shown], {"v": vector}, (1.0, -1.0), max_new_tokens=_SHOWN_TOKENS,
        batch_size=bench.preset.batch_size, seed=bench.seed, run_dir=bench.run.folder("texts"), progress=False,
    )  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    signs = np.where(table["multiplier"] < 0, "-v", "+v")
    condition = [signed(*one) for one in zip(table["kind"], signs, strict=True)]
    of = [shown[row] for row in table["row"]]
    texts = pd.DataFrame({
        "prompt": [one.prompt for one in of], "condition": condition, "text": table["text"],
        "oversight": ["monitored" if one.monitored else "unmonitored" for one in of],
        "harmful_option": [one.harmful for one in of],
    })  # fmt: skip
    # The conditions that a page shows first.
    return texts.sort_values("condition", key=lambda names: names != "unsteered", kind="stable", ignore_index=True)


def work(preset: Preset, data: Scenarios) -> list[PlannedWork]:
    """How much a run is."""
    n_vectors = len(preset.norms) * preset.n_fits
    answers = len(data.choosing) * (2 * n_vectors + 1) + len(data.tests) * (4 * n_vectors + 1)
    return [
        PlannedWork(FITS, "fit", n_vectors, preset.steps),
        PlannedWork(ANSWERS, "write", answers, 1),
    ]


STUDY = Study(
    name="alignment-faking",
    question=QUESTION,
    references=["dunefsky2025oneshot", "clymer2024poser"],
    writes=False,
    departures=DEPARTURES,
    presets=PRESETS,
    needs=f"scenarios: give data={WHERE}",
    embedded_data=lambda preset, seed: organism_faking(preset.n_fits, preset.n_choosing, preset.n_tests or 60, seed),
    read_data=lambda data, preset, seed: poser_faking(data, preset.n_fits, preset.n_choosing, preset.n_tests, seed),
    measure=measure,
    report=report,
    work=work,
)
