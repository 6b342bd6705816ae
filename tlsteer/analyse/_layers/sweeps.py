"""Layer sweeps: one fit made and measured at every site, against random vectors and the unsteered model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from einops import rearrange
from typing_extensions import Unpack

from tlsteer._arguments import Whole, checked
from tlsteer._keywords import Writing, WritingSettings, settled
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._store import Store
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.analyse._layers.sweep_bench import Bench
from tlsteer.analyse._layers.sweep_fits import FitSettings, Row, Source, Train, at_sites, fit_rows, sources_of
from tlsteer.analyse._layers.sweep_measures import Measure, Test, scorer_of
from tlsteer.analyse._layers.sweep_result import LayerSweep
from tlsteer.errors import DataError, SiteError, VectorError
from tlsteer.evaluate._propensity import MULTIPLIERS
from tlsteer.fit import random_vector
from tlsteer.fit._controls import check_n_random
from tlsteer.operations import Affine, Operation, operation_of
from tlsteer.positions import Positions, check_positions
from tlsteer.sites import STAGES, Site, Stage
from tlsteer.vectors import SteeringVector

Layers = Sequence[int] | str
_OF_ROWS = {"vector": "name", "example": "example", "seed": "seed"}
_AXES = (*_OF_ROWS, "layer", "stage")


@checked
def sweep_layers(
    model: Model,
    train: Train,
    test: Test,
    layers: Layers = "all",
    *,
    stages: Sequence[Stage] = ("pre",),
    multipliers: Sequence[Number] = MULTIPLIERS,
    measure: Measure = "logit_difference",
    seeds: Sequence[int] = (0,),
    fit_settings: FitSettings | None = None,
    positions: Positions = "all",
    n_random: Whole = 3,
    **writing: Unpack[WritingSettings],
) -> LayerSweep:
    """Fits at every site and measures each vector at every multiplier.

    The test is run on the unsteered model first, so what is wrong with it shows before anything is fitted.

    Args:
        model: a TransformerBridge or HookedTransformer.
        train: choices or contrast pairs (contrastive vectors, all sites in one pass); examples or `OneShot` recipes,
            whose own site and seed do not count (a one-shot vector of each at every site, in one batch); vectors, one
            a site; a function of model and sites that gives one per site; or several of these by name.
        test: choices; or prompts, whose continuations a judge reads; or None for a function's own measure.
        layers: which, or "all" (of the vectors, where vectors are given).
        stages: of the residual stream in each layer.
        multipliers: of each vector.
        measure: for choices a measure of `propensity`; for prompts `judge(prompts, texts)`, which gets all prompts
            in order with their texts and gives a verdict on each (attack success, retraction, ...); otherwise
            `f(model, vector, multiplier)`, a number or one for each sample.
        seeds: of one-shot fits.
        fit_settings: by name, of `fit_contrastive` (estimator, positions, ...) or, for examples, of `OneShot`.
        positions: where vectors are applied, and where examples are steered while they are fitted.
        n_random: random vectors of equal norm measured alongside each vector; one alone may steer by chance.
        writing: max_new_tokens (64) of continuations, which are greedy, batch_size (32), progress, and run_dir, a
            folder to keep one-shot fits and the scores of each vector in; an interrupted call is resumed from there.
            Scores of a function are kept under its module and name: give a changed one a new folder.

    Raises:
        DataError: nothing to fit or test on, or a measure, settings, seeds or multipliers that do not go with it.
        SiteError: layers or stages that the model does not have.
        VectorError: settings out of range, or no vector at one of the sites.

    >>> sweep = sweep_layers(model, pairs, choices, [2, 3], multipliers=[-1, 0, 1])
    >>> sweep.best(), sweep.data.sel(layer=3).mean("sample")
    """
    surface = Surface(model)
    check_positions(positions)
    strengths = _strengths(multipliers)
    sources = sources_of(train, seeds, fit_settings or {}, positions)
    sites = _sites(surface, sources, layers, stages)
    _check_random(sources, n_random)
    how = settled(Writing(), writing, WritingSettings)
    scorer = scorer_of(model, test, measure, positions, how)
    folder = None if how.run_dir is None else Path(how.run_dir)
    bench = Bench(surface, scorer, Store(folder and folder / "scores"))
    unsteered = np.asarray(bench.measure([_somewhere(surface, sites[0])], [0.0], progress=False)[0, 0])
    fits = folder / "fits" if folder else None
    rows = [row for source in sources for row in fit_rows(surface, source, sites, fits, how.progress)]
    return _sweep(bench, rows, sites, strengths, unsteered, n_random, how.progress)


def _sweep(
    bench: Bench,
    rows: Sequence[Row],
    sites: Sequence[Site],
    multipliers: Sequence[float],
    unsteered: np.ndarray,
    n_random: int,
    progress: bool,
) -> LayerSweep:
    # By site, so that what is written at one place is measured together.
    cells = [
        (place, row, site, vector)
        for number, site in enumerate(sites)
        for place, row in enumerate(rows)
        if (vector := row.vectors[number]) is not None
    ]
    fitted = [vector for *_, vector in cells]
    vectors = [
        one
        for place, _, site, vector in cells
        for one in (vector, *(_random(vector, site, place, draw) for draw in range(n_random)))
    ]
    found = bench.measure(vectors, [multiplier for multiplier in multipliers if multiplier], progress)
    if found.shape[2:] != unsteered.shape:
        raise DataError(f"{bench.scorer.name!r} gave {unsteered.shape} samples unsteered and {found.shape[2:]} steered")
    scores = np.empty((len(vectors), len(multipliers), *unsteered.shape))
    scores[:] = unsteered
    scores[:, np.array(multipliers) != 0] = found
    labels = pd.MultiIndex.from_tuples(
        [(row.name, row.example, row.seed, site.layer, site.stage) for _, row, site, _ in cells], names=_AXES
    )
    order = {axis: list(dict.fromkeys(getattr(row, name) for row in rows)) for axis, name in _OF_ROWS.items()}
    order |= {axis: list(dict.fromkeys(getattr(site, axis) for site in sites)) for axis in ("layer", "stage")}
    last = ["sample"] * unsteered.ndim
    samples = {name: ("sample", several) for name, several in bench.scorer.samples.items()}
    array = xr.DataArray(
        rearrange(scores, "(cell draw) ... -> cell draw ...", draw=1 + n_random),
        {"multiplier": list(multipliers), **samples},
        ["cell", "draw", "multiplier", *last],
        name=bench.scorer.name,
        attrs={
            "model": bench.surface.name,
            "fingerprint": bench.surface.fingerprint,
            "units": bench.scorer.units,
            "methods": ", ".join(dict.fromkeys(vector.provenance.method or "given" for vector in fitted)),
            "version": __version__,
        },
    )
    array = _unfold(array, labels, order).transpose("draw", ..., "multiplier", *last)
    objects = np.empty(len(fitted), dtype=object)
    objects[:] = fitted
    sites_vectors = _unfold(xr.DataArray(objects, dims="cell"), labels, order).copy()
    sites_vectors.values[sites_vectors.isnull().values] = None
    return LayerSweep(
        data=array.isel(draw=0),
        random=array.isel(draw=slice(1, None)),
        unsteered=xr.DataArray(unsteered, samples, last, name=bench.scorer.name),
        vectors=sites_vectors,
    )


def _unfold(array: xr.DataArray, labels: pd.MultiIndex, order: Mapping[str, list]) -> xr.DataArray:
    """The axis `cell` as the axes that it is made of, in the order given, those of length one left out."""
    array = array.assign_coords(xr.Coordinates.from_pandas_multiindex(labels, "cell")).unstack("cell")
    array = array.reindex(order).transpose(*order, ...)
    single = [axis for axis in order if len(order[axis]) == 1 and axis != "layer"]
    # The stage says where the vectors are, so it stays as a label.
    return array.isel(dict.fromkeys(single, 0)).drop_vars([axis for axis in single if axis != "stage"])


def _random(vector: SteeringVector, site: Site, row: int, draw: int) -> SteeringVector:
    """A random vector that is the same whatever else is swept."""
    place = [site.layer, STAGES.index(site.stage), row, draw]
    return random_vector(site, like=vector, seed=int(np.random.SeedSequence(place).generate_state(1)[0] >> 1))


def _strengths(multipliers: Sequence[Number]) -> list[float]:
    strengths = finite_numbers(multipliers, "multipliers")
    if not any(strengths) or len(set(strengths)) < len(strengths):
        raise DataError(f"give at least one multiplier that is not 0, and each once, got {strengths}")
    return strengths


def _sites(surface: Surface, sources: Sequence[Source], layers: Layers, stages: Sequence[Stage]) -> list[Site]:
    """The sites to sweep, after checking that the model has them and that vectors were given for them."""
    given = [vector for source in sources if source.kind == "vectors" for vector in source.items]
    only_given = all(source.kind == "vectors" for source in sources)
    known = sorted({vector.check(surface).layer for vector in given}) if only_given else range(surface.n_layers)
    chosen = chosen_layers(layers, known)
    sites = [Site(layer, stage).resolve(surface.n_layers) for layer in chosen for stage in stages]
    if not sites or len(set(sites)) < len(sites):
        raise SiteError(f"give at least one layer and stage, and each once; got {list(chosen)} x {list(stages)}")
    for site in sites:
        surface.check_writable(site)
    for source in sources:
        if source.kind == "vectors":
            at_sites(surface, source.items, sites)
    return sites


def chosen_layers(layers: Layers, known: Sequence[int]) -> Sequence[int]:
    """The layers asked for, out of those known."""
    if isinstance(layers, str):
        if layers != "all":
            raise SiteError(f'layers={layers!r} is unknown; give a list of layers, or "all"')
        return known
    return layers


def _check_random(sources: Sequence[Source], n_random: int) -> None:
    given = [getattr(item, "operation", None) for source in sources for item in source.items]
    given += [source.settings.get("operation") for source in sources]
    check_n_random(n_random)
    if n_random and not all(one is None or _is_vector(one) for one in given):
        raise VectorError(f"n_random={n_random}: affine maps have no norm that a random vector could match; use 0")


def _is_vector(operation: Operation | str) -> bool:
    return operation != Affine.name and operation_of(operation).is_vector


def _somewhere(surface: Surface, site: Site) -> SteeringVector:
    """A vector to be applied with multiplier 0."""
    return SteeringVector(torch.eye(surface.d_model)[0], site)
