"""A picture of every kind, from numbers made up here: what the tests compare with kept ones and read at every size."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

import tlsteer as ts
from tests.plot.test_side_effects import calibration
from tlsteer import plot
from tlsteer.analyse import (
    EffectComparison,
    ModeConnectivity,
    Surprisal,
    TransferMatrix,
    Verbalization,
    compare_effects,
)
from tlsteer.analyse._layers.sweep_result import LayerSweep
from tlsteer.evaluate import reliability
from tlsteer.fit import OneShotFit, UnsupervisedFit
from tlsteer.harnesses import TaskScores
from tlsteer.judges import Agreement
from tlsteer.stats import Estimate, rate

X = np.linspace(-1.5, 1.5, 7)
TRAITS = ["power", "risk", "wealth", "corrigibility", "survival instinct", "self-awareness", "myopia", "coordination"]
WORDS = ["␣the", "␣Sure", "↵", "␣cannot", "␣zevbax", "!", "␣$", "I"]


def rng(seed=0):
    return np.random.default_rng(seed)


def sweep(methods=("diff_means",), layers=range(8), units="nats"):
    labels = {"vector": list(methods), "layer": list(layers), "multiplier": [-1.0, 1.0]}
    height = np.exp(-((np.arange(len(labels["layer"])) - 4) ** 2) / 6)
    start = np.arange(len(methods))[:, None, None] * 0.3 + 2 * height[None, :, None] * np.array([-1.0, 1.0])
    values = start[..., None] + rng().normal(scale=0.8, size=(*start.shape, 30))
    values = values if units == "nats" else 1 / (1 + np.exp(-values))
    data = xr.DataArray(values, labels, [*labels, "sample"], name="logit_difference", attrs={"units": units})
    random = xr.concat([data * 0 + one for one in (-0.3, 0.1, 0.4)], "draw")
    vectors = np.empty(start.shape[:2], dtype=object)
    vectors.fill(ts.SteeringVector(torch.ones(4), 0))
    sites = {name: labels[name] for name in ("vector", "layer")}
    found = LayerSweep(data, random, data.isel(vector=0, layer=0, multiplier=0, drop=True) * 0,
                       xr.DataArray(vectors, sites, list(sites)))  # fmt: skip
    if len(methods) > 1:
        return found
    alone = {name: getattr(found, name).isel(vector=0, drop=True) for name in ("data", "random", "vectors")}
    return LayerSweep(**alone, unsteered=found.unsteered)


def layer_transfer():
    found = sweep(("1", "3", "5")).renamed("vector", "fit_layer", [1, 3, 5])
    return LayerSweep(
        found.data.sel(multiplier=[1.0]), found.random.sel(multiplier=[1.0]), found.unsteered, found.vectors
    )


def losses(n=24):
    vector = ts.VectorSet([ts.SteeringVector(torch.ones(4), 1)])
    return {
        f"layer {number}": OneShotFit(
            vector, (5 * np.exp(-np.arange(20 + number) / (4 + number / 3)) + 0.05 * number).tolist(), [0.1],
            "target" if number % 3 == 0 else "max_steps", None, "fast",
        )
        for number in range(n)
    }  # fmt: skip


def rates(multipliers=(1.0,)):
    conditions = ["unsteered", "promotion", "suppression", "random vectors, norm of promotion"]
    rows = []
    for measure, up in (("serves the harmful request", 1), ("refuses the harmless request", 0), ("writes sense", 2)):
        for number, condition in enumerate(conditions):
            for multiplier in multipliers if number else (0.0,):
                one = rate(
                    round(40 * min(0.97, 0.05 + 0.3 * number * (up == 1) * abs(multiplier) + 0.9 * (up == 2))), 40
                )
                rows.append({"measure": measure, "condition": condition, "multiplier": multiplier} | vars(one))
    return pd.DataFrame(rows)


def flips():
    rows = []
    for measure in ("+v flips benign", "-v flips harmful", "-v changes benign", "+v changes harmful"):
        for kind, top in (("steered", 0.9), ("random", 0.2)):
            for vector in ("all", "a", "b"):
                for strength in (0.5, 1.0, 2.0):
                    one = rate(round(30 * top * strength / 2 * (0.2 if "changes" in measure else 1)), 30)
                    rows.append(
                        {"kind": kind, "multiplier": strength, "vector": vector, "measure": measure} | vars(one)
                    )
    return pd.DataFrame(rows)


def reports(names=TRAITS[:4]):
    def curve(slope, seed):
        slopes = slope + rng(seed).normal(size=40)
        labels = {"letter": ("sample", np.resize(["A", "B"], 40)), "multiplier": X}
        array = xr.DataArray(slopes[:, None] * X, labels, ("sample", "multiplier"), name="logit_difference")
        return array.assign_attrs(units="nats")

    return {
        name: reliability(curve(0.4 + number / 3, number), controls={"random": curve(0.0, 9)}, n_resamples=20)
        for number, name in enumerate(names)
    }


def by_layer(n=8):
    rows = [
        {"dataset": name, "layer": layer, "n": 40, "steerability": (value := np.sin(layer / 3 + number) + 0.2 * number),
         "steerability_low": value - 0.25, "steerability_high": value + 0.25}
        for number, name in enumerate(TRAITS[:n]) for layer in range(1, 13)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def comparison(n=7):
    rows = torch.randn(n, 24, generator=torch.Generator().manual_seed(0))
    rows[2] = rows[0] + 0.4 * rows[1]
    return ts.compare_vectors({name: ts.SteeringVector(row, 1) for name, row in zip(TRAITS, rows, strict=False)})


def effects(n=7) -> EffectComparison:
    common, own = rng(0).normal(size=40), rng(1).normal(size=(n + 1, 40))
    slopes = np.stack([common * (number < 4) + 0.6 * own[number] for number in range(n + 1)])
    names = [*TRAITS[:n], "random 0"]
    curves = xr.DataArray(slopes[..., None] * X, {"vector": names, "multiplier": X}, ("vector", "sample", "multiplier"))
    return compare_effects(curves, random=["random 0"], n_resamples=50)


def paths():
    names = [*(f"v{number}" for number in range(5)), "random 0", "random 1"]
    pairs = list(combinations(names, 2))
    kinds = [("vectors", "to random", "random")[("random" in a) + ("random" in b)] for a, b in pairs]
    way = np.linspace(0, 1, 11)
    ends = {name: 4.5 if "random" in name else 0.4 for name in names}
    loss = np.stack([ends[a] * (1 - way) + ends[b] * way + (number % 4 == 0) * 2 * np.sin(np.pi * way)
                     for number, (a, b) in enumerate(pairs)])  # fmt: skip
    on_pair = {"first": [a for a, _ in pairs], "second": [b for _, b in pairs], "kind": kinds,
               "angle": [90.0] * len(pairs), "unsteered": [5.0] * len(pairs), "solved": [1.0] * len(pairs)}  # fmt: skip
    coords = {name: ("pair", values) for name, values in on_pair.items()}
    data = xr.Dataset({"loss": (("pair", "point"), loss)}, coords | {"fraction": ("point", way)})
    return ModeConnectivity(data.assign_attrs(tolerance=0.2, path="great circle"))


def transfer():
    value = rng(3).normal(size=(4, 3))
    parts = {
        f"steerability{end}": (("vector", "task"), value + off)
        for end, off in (("", 0), ("_low", -0.4), ("_high", 0.4))
    }
    data = xr.Dataset(
        parts | {"anti_steerable": (("vector", "task"), value), "n": (("vector", "task"), np.full((4, 3), 40))},
        {"vector": [*TRAITS[:3], "random 0"], "task": TRAITS[:3], "random": ("vector", [0, 0, 0, 1])},
        {"units": "nats"},
    )  # fmt: skip
    return TransferMatrix(data)


def verbalization(layers=(2, 4, 6)):
    rows, draw, cells = [], rng(5), [(name, layer) for name in ("suppression", "reentrant") for layer in layers]
    settings: list[Any] = [("unsteered", "unsteered", None, 0.0)]
    settings += [(kind, name, layer, 1.0) for name in ("suppression", "reentrant") for layer in layers
                 for kind in ("steered", "random")]  # fmt: skip
    for kind, vector, layer, multiplier in settings:
        said = {"unsteered": 0.9, "random": 0.85, "steered": 0.3 if vector == "suppression" else 0.5}[kind]
        for entity in range(30):
            verbalized = draw.random() < said
            recovered = draw.random() < (0.9 if verbalized else 0.6)
            rows.append({"kind": kind, "vector": vector, "layer": layer, "multiplier": multiplier, "statement": entity,
                         "true": False, "entity": f"e{entity}", "text": "t", "retraction": "", "verbalized": verbalized,
                         "recovered": recovered, "fiction": not recovered})  # fmt: skip
    texts = pd.DataFrame(rows).astype({"layer": "Int64"})
    return Verbalization(texts, {"multipliers": [0.0, 1.0], "model": "m", "cells": cells})


def surprisals():
    draw = rng(6)
    scores = [
        {"group": group, "context": context, "text": f"{group} {i}", "cluster": i, "n_tokens": 9,
         "nats_per_token": 2 + number + (context == "fictitious") * 0.5 + draw.normal(scale=0.3)}
        for number, group in enumerate(("true facts", "fiction", "suppression: silent, true"))
        for context in ("true", "fictitious", "none") for i in range(12)
    ]  # fmt: skip
    draws = [{"context": context, "draw": i, "nats": 80.0 + i, "n_tokens": 40}
             for context in ("true", "fictitious") for i in range(3)]  # fmt: skip
    return Surprisal(pd.DataFrame(scores), pd.DataFrame(draws), "organism-base")


def readout():
    values = np.sort(rng(7).normal(size=16))[::-1]
    return pd.DataFrame({"reading": "logit", "token": [WORDS[i % 8] for i in range(16)], "value": values,
                         "side": ["promoted"] * 8 + ["suppressed"] * 8,
                         "random_95": np.sign(values) * 0.4})  # fmt: skip


def classified():
    rows = [
        {"vector": name, "layer": layer, "auc": (value := min(0.99, 0.5 + 0.06 * layer * (number + 1) / 3)),
         "auc_low": value - 0.08, "auc_high": min(1.0, value + 0.08), "random_low": 0.4, "random_high": 0.6, "n": 40,
         "steerability": value - 0.5, "steerability_low": value - 0.6, "steerability_high": value - 0.4,
         "n_steered": 40}
        for number, name in enumerate(TRAITS[:3]) for layer in range(8)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def traced():
    dims = ("direction", "sample", "layer", "position")
    sizes, places = (3, 5, 8, 6), [-6, -5, -4, -3, -2, -1]
    base = np.linspace(1, 0.2, 8)[None, None, :, None] * np.array([1.0, 0.4, 0.3])[:, None, None, None]
    values = {name: (dims, base + rng(8).normal(scale=0.05, size=sizes)) for name in ("relative_norm", "cosine")}
    shares = rng(9).dirichlet(np.ones(24), size=(3, 5, 6)).reshape(3, 5, 6, 3, 8)
    shares[:, :, :, 0, 1:] = 0
    written = (("direction", "sample", "position", "component", "layer"), shares)
    return xr.Dataset(
        values | {"written_share": written, "token": (("sample", "position"), [WORDS[:6]] * 5)},
        {"direction": ["vector", "random 0", "random 1"], "layer": range(8), "position": places,
         "component": ["edit", "attention", "mlp"]},
        {"site": "Site(0, 'pre')"},
    ).sel(direction=["vector", "random 0", "random 1"])  # fmt: skip


def token_effects():
    alone = rng(10).normal(size=8)
    return xr.Dataset(
        {"alone": ("position", alone), "without": ("position", alone / 2), "token": ("position", WORDS),
         "random_alone": (("random", "position"), rng(11).normal(scale=0.3, size=(3, 8))), "unsteered": -2.0,
         "steered": 1.5},
        attrs={"promote": " Sure, here is", "suppress": " I cannot"},
    )  # fmt: skip


def with_ends(table, *measures):
    for measure in measures:
        table[f"{measure}_low"], table[f"{measure}_high"] = table[measure] - 0.2, table[measure] + 0.2
    return table


def datasets(seed):
    values = np.sort(rng(4).normal(size=8)) + rng(seed).normal(scale=0.2, size=8)
    return with_ends(pd.DataFrame({"dataset": TRAITS, "steerability": values}), "steerability")


def shifts():
    names = ["BASE", "SYS_POS", "USER_NEG"]
    rows = [
        {"dataset": dataset, "trained": a, "tested": b, "steerability": 0.3 * number + 0.1 * i + 0.2 * j,
         "relative": 1.0 + 0.1 * (i - j) * number, "baseline_distance": abs(0.5 * (j - i) + 0.1 * number),
         "in_distribution": 0.3 * number}
        for number, dataset in enumerate(TRAITS[:5]) for i, a in enumerate(names) for j, b in enumerate(names)
    ]  # fmt: skip
    return with_ends(pd.DataFrame(rows), "steerability")


def attacks():
    rows = []
    for attack, several in {"unsteered": (1,), "prefill": (11,), "promotion, add": (14, 25, 31, 38),
                            "directional ablation": (29,), "random, add": (2, 1, 3, 2)}.items():  # fmt: skip
        for side, away in (("harmful", 0), ("harmless", 38)):
            for number, count in enumerate(several):
                one = rate(max(0, away - count // 3) if away else count, 40)
                rows.append({"requests": side, "attack": attack, "vector": f"{attack} {number}"} | vars(one))
    return pd.DataFrame(rows)


def changes():
    vectors = [ts.SteeringVector(torch.ones(4), 1)] * 4
    return UnsupervisedFit(
        vectors, [(9 - number - 5 * np.exp(-np.arange(30) / 6)).tolist() for number in range(4)], "fast"
    )


def against():
    found = effects()
    return comparison(), found


def side_effects(names=("calm", "random")):
    strength = np.array([-1.0, 0.0, 1.0, 2.0])
    kl = np.stack([0.2 * strength**2 * (1 + (name != "random")) for name in names])
    arrays = {f"kl{end}": kl + off for end, off in (("", 0), ("_low", -0.03), ("_high", 0.03))}
    return xr.Dataset(
        {name: (("vector", "multiplier"), values) for name, values in arrays.items()}
        | {"kl_n": (("vector", "multiplier"), np.full(kl.shape, 40))},
        {"vector": list(names), "multiplier": strength},
        {"confidence": 0.95},
    )


def task_scores():
    rows = [
        {"condition": condition, "task": task, "metric": metric} | vars(rate(round(40 * share) - 6 * number, 40))
        for number, condition in enumerate(["unsteered", "steered (1)", "random 0 (1)"])
        for task, metric, share in (("arc_easy", "acc", 0.8), ("arc_easy", "acc_norm", 0.7), ("hellaswag", "acc", 0.5))
    ]
    return TaskScores(pd.DataFrame(rows), {"unsteered": {"arc_easy": [{"doc": "Why?", "acc": 1.0}]}})


def agreement():
    rows = [(1.0, 1.0)] * 20 + [(1.0, 0.0)] * 4 + [(0.0, 1.0)] * 2 + [(0.0, 0.0)] * 14 + [(np.nan, 1.0)]
    said = pd.DataFrame(rows, columns=["first", "second"])
    return Agreement("organism:complies", "substrings", said.assign(prompt=[*map(str, range(len(said)))], text="t"))


PICTURES: dict[str, Callable[..., Any]] = {
    "plot_sweep": lambda **look: plot.plot_sweep(sweep(("diff_means", "pca")), **look),
    "plot_sweep one layer": lambda **look: plot.plot_sweep(sweep(layers=[4]), **look),
    "plot_sweep many": lambda **look: plot.plot_sweep(sweep(TRAITS, layers=range(26)), "slope", **look),
    "plot_sweep_grid": lambda **look: plot.plot_sweep_grid(sweep(units="1"), **look),
    "plot_losses": lambda **look: plot.plot_losses(losses(), **look),
    "plot_agreement": lambda **look: plot.plot_agreement(agreement(), **look),
    "plot_side_effects": lambda **look: plot.plot_side_effects(side_effects(), random=["random"], **look),
    "plot_task_scores": lambda **look: plot.plot_task_scores(task_scores(), **look),
    "plot_changes": lambda **look: plot.plot_changes(changes(), **look),
    "plot_rates": lambda **look: plot.plot_rates(rates(), **look),
    "plot_rates_by_multiplier": lambda **look: plot.plot_rates_by_multiplier(rates((0.5, 1.0, 2.0)), **look),
    "plot_flips": lambda **look: plot.plot_flips(flips(), **look),
    "plot_propensity": lambda **look: plot.plot_propensity(reports()["power"], **look),
    "plot_steerability": lambda **look: plot.plot_steerability(reports(), **look),
    "plot_variance": lambda **look: plot.plot_variance(reports(), **look),
    "plot_steerability_by_layer": lambda **look: plot.plot_steerability_by_layer(by_layer(), **look),
    "plot_steerability_by_layer few": lambda **look: plot.plot_steerability_by_layer(by_layer(3), **look),
    "plot_effect_against_side_effect": lambda **look: plot.plot_effect_against_side_effect(calibration(), **look),
    "plot_cosines": lambda **look: plot.plot_cosines(comparison(), **look),
    "plot_norms": lambda **look: plot.plot_norms(comparison(), **look),
    "plot_effects": lambda **look: plot.plot_effects(effects(), **look),
    "plot_cosine_against_effect": lambda **look: plot.plot_cosine_against_effect(*against(), **look),
    "plot_transfer": lambda **look: plot.plot_transfer(transfer(), **look),
    "plot_paths": lambda **look: plot.plot_paths(paths(), **look),
    "plot_models": lambda **look: plot.plot_models({"small": datasets(1), "large": datasets(2)}, **look),
    "plot_shift_scatter": lambda **look: plot.plot_shift_scatter(
        shifts(), {"BASE to SYS_POS": Estimate(0.75, 0.1, 0.9, 5)}, **look
    ),
    "plot_relative_steerability": lambda **look: plot.plot_relative_steerability(shifts(), **look),
    "plot_attacks": lambda **look: plot.plot_attacks(attacks(), **look),
    "plot_rate_by_layer": lambda **look: plot.plot_rate_by_layer(verbalization(), **look),
    "plot_rate_by_layer one layer": lambda **look: plot.plot_rate_by_layer(verbalization((4,)), **look),
    "plot_verbalization": lambda **look: plot.plot_verbalization(verbalization(), **look),
    "plot_mosaic": lambda **look: plot.plot_mosaic(verbalization(), "suppression", 4, 1.0, **look),
    "plot_surprisal": lambda **look: plot.plot_surprisal(surprisals(), **look),
    "plot_readout": lambda **look: plot.plot_readout(readout(), **look),
    "plot_classifier": lambda **look: plot.plot_classifier(classified(), **look),
    "plot_predict_control": lambda **look: plot.plot_predict_control(classified(), **look),
    "plot_trace": lambda **look: plot.plot_trace(traced(), **look),
    "plot_trace_map": lambda **look: plot.plot_trace_map(traced(), **look),
    "plot_written": lambda **look: plot.plot_written(traced(), **look),
    "plot_token_effects": lambda **look: plot.plot_token_effects(token_effects(), **look),
    "plot_layer_transfer": lambda **look: plot.plot_layer_transfer(layer_transfer(), **look),
}
