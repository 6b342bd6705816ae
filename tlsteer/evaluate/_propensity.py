"""Propensity: how strongly a model favours the positive answers, over multipliers of vectors (arXiv 2407.12404)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from scipy.special import expit

from tlsteer._arguments import Count, checked
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._store import Store, store_of
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.data import Choice
from tlsteer.errors import DataError
from tlsteer.evaluate._answer_curves import answer_curves
from tlsteer.evaluate._vector_grid import VectorGrid, Vectors
from tlsteer.positions import Positions
from tlsteer.prompts import ask_choices

Measure = Literal["logit_difference", "logprob_difference", "positive_probability", "accuracy"]
MULTIPLIERS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
Grid = Float[np.ndarray, "vector layer setting sample multiplier"]
UNITS = {
    "logit_difference": "nats",
    "logprob_difference": "nats",
    "positive_probability": "1",
    "accuracy": "1",
}


@checked
def propensity(
    model: Model,
    vectors: Vectors,
    choices: Sequence[Choice] | Mapping[str, Sequence[Choice]],
    multipliers: Sequence[Number] = MULTIPLIERS,
    *,
    measure: Measure = "logit_difference",
    positions: Positions = "all",
    batch_size: Count = 32,
    progress: bool = True,
    run_dir: str | Path | Store | None = None,
) -> xr.DataArray:
    """The propensity of each choice under each vector and multiplier.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one vector; a list, one per layer; or either by name.
        choices: questions, or the same questions in several prompt settings, by the setting's name.
        multipliers: of the vectors.
        measure: `logit_difference`, logit of the positive answer minus that of the negative at their first token;
            `logprob_difference`, the same of whole answers' log-probabilities; `positive_probability`, the
            probability of the positive answer among the two first tokens; `accuracy`, whether it is the likelier.
        positions: where the vectors are applied.
        batch_size: prompts run at once.
        progress: show a bar.
        run_dir: a folder to keep what is done; an interrupted call is resumed from there.

    Returns:
        An array of dims vector (where given by name), layer (where lists were given), setting (where several),
        sample and multiplier. Coordinates of `sample` are `question` and the factors; attributes say what was run.

    Raises:
        DataError: no choices, settings with different questions, or answers whose first tokens are the same.
        VectorError: vectors of another model, or lists with different layers.

    >>> curve = propensity(model, vector, choices, multipliers=[-1, 0, 1])
    >>> curve.sizes["sample"], curve.sizes["multiplier"]
    (16, 3)
    >>> told = data.in_setting(choices, "SYS_POS", attitudes)
    >>> propensity(model, {"caa": by_layer, "one-shot": fits}, {"BASE": choices, "SYS_POS": told}, [0, 1]).dims
    ('vector', 'layer', 'setting', 'sample', 'multiplier')
    """
    surface = Surface(model)
    if measure not in UNITS:
        raise DataError(f"measure {measure!r} is unknown; use one of {', '.join(UNITS)}")
    strengths = finite_numbers(multipliers, "multipliers")
    if not strengths or len(set(strengths)) < len(strengths):
        raise DataError(f"give at least one multiplier and each once, got {strengths}")
    grid = VectorGrid.of(vectors, surface)
    by_setting = choices if isinstance(choices, Mapping) else {"": choices}
    shared = _shared_questions(by_setting)
    store, recipe = store_of(run_dir), _recipe(surface, measure, strengths, positions)
    scores = []
    for asked in [ask_choices(model, several) for several in by_setting.values()]:
        found = answer_curves(
            surface, asked, grid.flat, strengths, positions, by_logprob=measure == "logprob_difference",
            batch_size=batch_size, store=store, progress=progress,
        )  # fmt: skip
        scores.append(np.stack(list(found)))
    axes = "setting (vector layer) sample multiplier -> vector layer setting sample multiplier"
    values = rearrange(scores, axes, vector=len(grid.rows))
    sites = ", ".join(dict.fromkeys(str(vector.site) for vector in grid.flat))
    curve = _label(_measured(values, measure), grid, by_setting, shared, strengths).rename(measure)
    about = {name: value if isinstance(value, str) else json.dumps(value) for name, value in recipe.items()}
    made = [vector.provenance.method or "given" for vector in grid.flat]
    return curve.assign_attrs(
        about, units=UNITS[measure], sites=sites, methods=", ".join(dict.fromkeys(made)), version=__version__
    )


def _measured(
    scores: Float[np.ndarray, "vector layer setting sample multiplier"], measure: Measure
) -> Float[np.ndarray, "vector layer setting sample multiplier"]:
    if measure == "positive_probability":
        return expit(scores)
    # A tie is half an answer for either.
    return (np.sign(scores) + 1) / 2 if measure == "accuracy" else scores


def _label(
    values: Grid,
    grid: VectorGrid,
    by_setting: Mapping[str, Sequence[Choice]],
    shared: Sequence[Choice],
    multipliers: Sequence[float],
) -> xr.DataArray:
    factors = dict.fromkeys(name for choice in shared for name in choice.factors)
    labels = {
        "question": ("sample", [choice.id for choice in shared]),
        **{name: ("sample", [str(choice.factors.get(name, "")) for choice in shared]) for name in factors},
        "multiplier": list(multipliers),
    }
    dims = ("vector", "layer", "setting", "sample", "multiplier")
    array = xr.DataArray(values, labels, dims)
    given = {"vector": grid.names, "layer": grid.layers, "setting": [name for name in by_setting if name] or None}
    for name, axis in given.items():
        array = array.isel({name: 0}) if axis is None else array.assign_coords({name: axis})
    return array


def _shared_questions(by_setting: Mapping[str, Sequence[Choice]]) -> Sequence[Choice]:
    """The choices of the first setting, after checking that the others ask the same."""
    if not by_setting:
        raise DataError("give at least one prompt setting")
    asked = {name: [(one.id, one.factors, one.positive) for one in several] for name, several in by_setting.items()}
    first = next(iter(asked))
    for name, questions in asked.items():
        if questions != asked[first]:
            raise DataError(f"{name!r} asks other questions than {first!r}; make both from one list with in_setting")
    return by_setting[first]


def _recipe(surface: Surface, measure: Measure, multipliers: Sequence[float], positions: Positions) -> dict[str, Any]:
    return {
        "model": surface.name,
        "fingerprint": surface.fingerprint,
        "measure": measure,
        "multipliers": multipliers,
        "positions": repr(positions),
    }
