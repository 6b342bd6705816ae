"""What the persona-reliability study measures on one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.data import SETTINGS, Setting, in_setting, split_choices
from tlsteer.errors import DataError
from tlsteer.evaluate._across import AcrossDatasets, file_names
from tlsteer.evaluate._many_datasets import reliability_across
from tlsteer.evaluate._propensity import propensity
from tlsteer.evaluate._reliability import reliability, reliability_table
from tlsteer.evaluate._reliability_report import ReliabilityReport
from tlsteer.evaluate._shifts import by_pair, shift_vectors, shifts
from tlsteer.positions import Positions
from tlsteer.prompts import ask_choices, attitude_pairs
from tlsteer.sites import Place
from tlsteer.stats import Estimate, bootstrap_interval, rank_correlation
from tlsteer.studies._frame import Bench
from tlsteer.studies._plan import PlannedWork
from tlsteer.studies.persona_reliability._data import Personas
from tlsteer.studies.persona_reliability._presets import Preset
from tlsteer.vectors import SteeringVector

Kind = Literal["answer", "attitude"]
_ANSWERS, _ATTITUDES = "datasets of answers, on the {} model", "datasets with attitudes, on the {} model"


@dataclass(frozen=True)
class Measured:
    """One model's numbers.

    Attributes:
        model: its name.
        found: reliability of answer-letter and attitude vectors.
        elsewhere: of the answer vectors on the same questions, applied at `other_positions` instead; by dataset.
        settings: the prompt settings that the model's chat template allows.
        shifts: of `shifts`, of answer vectors fitted and tested in each setting; with `dataset`. Empty without
            attitudes.
        told: the same of attitude vectors tested in each setting, `trained` being "attitude". Empty without.
        cosines: of answer vectors of two settings; columns dataset, one, other, cosine. Empty without.
    """

    model: str
    found: dict[Kind, AcrossDatasets]
    elsewhere: dict[str, ReliabilityReport]
    settings: Sequence[Setting]
    shifts: pd.DataFrame
    told: pd.DataFrame
    cosines: pd.DataFrame


def other_positions(positions: Positions) -> Positions:
    """What the study's positions are compared with: every token, or where that is the study's, the answer's."""
    return "completion" if isinstance(positions, str) and positions == "all" else "all"


def work_on(place: str, personas: Personas) -> list[PlannedWork]:
    """How many datasets each part on one model has."""
    answers = PlannedWork(_ANSWERS.format(place), "read", len(personas.choices))
    attitudes = [PlannedWork(_ATTITUDES.format(place), "read", len(personas.told))]
    return [answers, *(attitudes if personas.told else [])]


def measure_on(bench: Bench[Preset, Personas], place: str, model: Model, layers: Sequence[Place] | None) -> Measured:
    """Vectors of every dataset on one model, how reliably they steer it, and whether they do in other prompt settings.

    Args:
        bench: keeps all of it, and has the datasets and settings.
        place: where in the run.
        model: a TransformerBridge or HookedTransformer.
        layers: to choose from.
    """
    run, personas, preset = bench.run, bench.data, bench.preset
    once: dict[str, Any] = {
        "sites": layers, "one_layer": True, "n_random": preset.n_random, "batch_size": preset.batch_size,
        "positions": preset.positions, "seed": bench.seed, "progress": bench.progress,
    }  # fmt: skip
    bench.begin(_ANSWERS.format(place))
    found: dict[Kind, AcrossDatasets] = {
        "answer": run.unit(
            f"{place}/answer",
            lambda: reliability_across(model, personas.choices, run_dir=run.folder(f"{place}/answer-work"), **once),
        )
    }
    elsewhere = run.unit(f"{place}/elsewhere", lambda: _elsewhere(bench, model, found["answer"].vectors))
    settings = _settings(model, personas)
    if settings:
        bench.begin(_ATTITUDES.format(place))
        side = "system" if "SYS_POS" in settings else "user"
        found["attitude"] = run.unit(
            f"{place}/attitude",
            lambda: reliability_across(
                model,
                {name: personas.choices[name] for name in personas.told},
                contrast=lambda name, train: attitude_pairs(model, train, personas.fitted_with[name], side),
                run_dir=run.folder(f"{place}/attitude-work"),
                **once,
            ),
        )
    tables: dict[str, dict[str, pd.DataFrame]] = {"shifts": {}, "told": {}, "cosines": {}}
    for name, file in file_names(personas.told).items():
        own = run.unit(f"{place}/settings/{file}", lambda name=name: _in_settings(bench, model, name, settings, found))
        for kind, table in own.items():
            tables[kind][name] = table
    by_dataset = {kind: _by_dataset(some) for kind, some in tables.items()}
    return Measured(Surface(model).name, found, elsewhere, settings, **by_dataset)


def in_and_out(table: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation over datasets of steerability in distribution with that out of distribution, a row per pair.

    Args:
        table: of `shifts`, or of attitude vectors, which have a pair for each setting but BASE.

    Returns:
        Columns pair, value, low, high and n.
    """
    return _correlations(table, "in_distribution", "steerability")


def shift_dependence(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Rank correlation of relative steerability with how far a question's unsteered propensities are apart.

    A row for each pair of settings, over the datasets with a ratio, and one for all pairs together, where the bootstrap
    draws datasets, whose pairs share vectors.

    Args:
        table: of `shifts`.
        seed: of the bootstrap.

    Returns:
        Columns pair, value, low, high and n.
    """
    rows = pd.concat(by_pair(table).values()).dropna(subset=["relative"])
    apart, relative = rows["baseline_distance"].to_numpy(float), rows["relative"].to_numpy(float)

    def correlations(weights: np.ndarray) -> np.ndarray:
        times = weights.astype(int)
        return np.array([rank_correlation(np.repeat(apart, k), np.repeat(relative, k)).value for k in times])

    together = rank_correlation(apart, relative)
    if len(rows) > 1:
        low, high = bootstrap_interval(correlations, rows["dataset"].to_numpy(str), n_resamples=500, seed=seed)
        together = Estimate(together.value, float(low), float(high), len(rows))
    return pd.concat(
        [
            pd.DataFrame([{"pair": "all pairs", **vars(together)}]),
            _correlations(table, "baseline_distance", "relative"),
        ],
        ignore_index=True,
    )


def pairs_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each pair that is reported on: the paper's, or attitude vectors outside BASE."""
    told = table.query("trained == 'attitude' and tested != 'BASE'")
    outside = {f"attitude to {tested}": pd.DataFrame(some) for tested, some in told.groupby("tested", sort=False)}
    return by_pair(table) | outside


def _correlations(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    found = {
        pair: rank_correlation(rows[first].to_numpy(float), rows[second].to_numpy(float))
        for pair, rows in pairs_of(table).items()
    }
    return pd.DataFrame([{"pair": pair, **vars(one)} for pair, one in found.items()])


def _elsewhere(
    bench: Bench[Preset, Personas], model: Model, vectors: Mapping[str, SteeringVector]
) -> dict[str, ReliabilityReport]:
    """The answer vectors on the same questions, applied at other tokens."""
    positions, size = other_positions(bench.preset.positions), bench.preset.batch_size
    reports = {}
    for name, vector in vectors.items():
        test = split_choices(bench.data.choices[name], bench.seed).test
        curve = propensity(model, vector, test, positions=positions, batch_size=size, progress=False)
        reports[name] = reliability(curve, seed=bench.seed)
    return reports


def _settings(model: Model, personas: Personas) -> list[Setting]:
    """The prompt settings; without those in system messages where the chat template refuses these."""
    for name, attitudes in personas.told.items():
        try:
            ask_choices(model, in_setting(personas.choices[name][:1], "SYS_POS", attitudes))
        except DataError:
            return [setting for setting in SETTINGS if not setting.startswith("SYS")]
        return list(SETTINGS)
    return []


def _in_settings(
    bench: Bench[Preset, Personas],
    model: Model,
    name: str,
    settings: Sequence[Setting],
    found: Mapping[Kind, AcrossDatasets],
) -> dict[str, pd.DataFrame]:
    """One dataset's answer vectors of each setting tested in each, and its attitude vector tested in each."""
    personas, seed, size = bench.data, bench.seed, bench.preset.batch_size
    split, attitudes = split_choices(personas.choices[name], seed), personas.told[name]
    site = found["answer"].vectors[name].site
    asked = {setting: in_setting(split.test, setting, attitudes) for setting in settings}
    applied: dict[str, Any] = {"positions": bench.preset.positions, "batch_size": size, "progress": False}
    vectors = shift_vectors(model, split.train, attitudes, site, settings=settings, batch_size=size)
    told = reliability_table(propensity(model, found["attitude"].vectors[name], asked, **applied), seed=seed)
    own = told.loc[told["setting"] == "BASE", "steerability"].item()
    return {
        "shifts": shifts(propensity(model, vectors, asked, **applied), seed=seed),
        "told": told.rename(columns={"setting": "tested"}).assign(trained="attitude", in_distribution=own),
        "cosines": _cosines(vectors),
    }


def _cosines(vectors: Mapping[str, SteeringVector]) -> pd.DataFrame:
    units = {setting: vector.tensor.double() / vector.tensor.double().norm() for setting, vector in vectors.items()}
    rows = [
        {"one": one, "other": other, "cosine": float(units[one] @ units[other])}
        for one, other in combinations(units, 2)
    ]
    return pd.DataFrame(rows)


def _by_dataset(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame()
    return pd.concat([table.assign(dataset=name) for name, table in tables.items()], ignore_index=True)
