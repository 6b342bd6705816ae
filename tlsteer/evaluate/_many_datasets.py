"""Reliability over many datasets: of each, some questions fit a vector, some choose its layer, and the rest report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tqdm.auto import tqdm
from typing_extensions import Unpack

from tlsteer._arguments import Whole, checked
from tlsteer._keywords import Estimating, EstimatingSettings, settled
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._store import Store
from tlsteer._surface import Surface
from tlsteer.data import Choice, ContrastPair, Splits, split_choices
from tlsteer.errors import DataError, SiteError
from tlsteer.evaluate._across import AcrossDatasets
from tlsteer.evaluate._diagnostics import diagnose
from tlsteer.evaluate._propensity import MULTIPLIERS, Measure, propensity
from tlsteer.evaluate._reliability import reliability, reliability_table
from tlsteer.evaluate._reliability_report import ReliabilityReport
from tlsteer.fit import fit_contrastive, shuffled_labels
from tlsteer.fit._contrastive import Estimator
from tlsteer.fit._controls import check_n_random, random_rows
from tlsteer.positions import Positions, last
from tlsteer.prompts import answer_pairs
from tlsteer.sites import Place, Site
from tlsteer.vectors import SteeringVector

# From a dataset's name and its training questions to what vectors are fitted on.
Contrast = Callable[[str, Sequence[Choice]], Sequence[ContrastPair]]
_LAST_TOKEN = last(1)
_SHUFFLES = 3  # each is a fit; the level of a verdict is that of the random vectors


@checked
def reliability_across(
    model: Model,
    datasets: Mapping[str, Sequence[Choice]],
    vector: Estimator | SteeringVector = "diff_means",
    sites: Sequence[Place] | None = None,
    *,
    one_layer: bool = False,
    multipliers: Sequence[Number] = MULTIPLIERS,
    measure: Measure = "logit_difference",
    positions: Positions = "all",
    contrast: Contrast | None = None,
    read: Positions = _LAST_TOKEN,
    n_random: Whole = 19,
    **estimating: Unpack[EstimatingSettings],
) -> AcrossDatasets:
    """How reliably a method, or a vector, steers each of many datasets (arXiv 2407.12404).

    Of each dataset 40% of the questions fit a vector at every site (see `fit_contrastive`, at the answer), 10% choose
    the site of the largest steerability, and 50% are reported on, alongside random vectors and vectors fitted on
    shuffled labels, both of the vector's norm. A vector that is given is reported on all questions, alongside random
    ones: those it was made from flatter it.

    Args:
        model: a TransformerBridge or HookedTransformer.
        datasets: choices by name.
        vector: how vectors are fitted, or one that is.
        sites: to choose from, one per layer; the entries of all layers but the first by default, where the residual of
            an answer knows nothing of its question. A given vector stays where it is.
        one_layer: choose one site for all datasets, the best on average over them, as the paper does.
        multipliers: of the vectors.
        measure: see `propensity`.
        positions: where the vectors are applied.
        contrast: makes the pairs that vectors are fitted on from a dataset's name and its training questions, e.g.
            with `attitude_pairs`; `answer_pairs` by default.
        read: the tokens of the pairs whose residuals are averaged.
        n_random: random vectors, drawn for each dataset; 19 are enough to say of an effect that chance alone shows
            it in at most 5% of cases. Alongside them, up to three vectors of shuffled labels.
        estimating: seed (0) of splits, controls and intervals, n_resamples (2000) by question and confidence (0.95) of
            the intervals, batch_size (32), progress, and run_dir, a folder to keep what is done.

    Raises:
        DataError: no datasets, too few questions to split, a single multiplier, a setting that there is not, or what
            `fit_contrastive` and `propensity` raise.
        VectorError: a vector of another model.

    >>> datasets = {"power": choices, "risk": others}
    >>> found = reliability_across(model, datasets, "diff_means", [3, 4], n_random=1, n_resamples=20)
    >>> found.table, found.sweep, found.reports["power"].verdict
    """
    how = settled(Estimating(n_resamples=2000), estimating, EstimatingSettings)
    check_n_random(n_random)
    splits = check_request(datasets, vector, multipliers, how.seed)
    # A single dataset shows the bars of its curves, several a bar for all of them.
    progress = how.progress and len(datasets) > 1
    curves = dict(
        multipliers=multipliers, measure=measure, positions=positions, batch_size=how.batch_size,
        progress=how.progress and not progress,
    )  # fmt: skip
    work = _Work(model, Surface(model), Store(how.run_dir), how, read, curves)
    if isinstance(vector, SteeringVector):
        vector.check(work.surface)
        return _of_given(work, datasets, vector, n_random, progress)
    places = _places(sites, work.surface.n_layers)
    contrast = contrast or (lambda _, train: answer_pairs(model, train))
    with tqdm(total=2 * len(datasets), desc="reliability", unit="pass", disable=not progress) as bar:
        fitted, sweeps = {}, {}
        for name, split in splits.items():
            fitted[name] = work.fit(contrast(name, split.train), places, vector)
            if len(places) > 1:
                sweeps[name] = work.steerability_by_layer(fitted[name], split.validation)
            bar.update()
        sweep = pd.concat(sweeps, names=["dataset"]).reset_index("dataset").reset_index(drop=True) if sweeps else None
        chosen = _best(sweep, list(datasets), one_layer) if sweep is not None else dict.fromkeys(datasets, 0)
        vectors = {name: fitted[name][place] for name, place in chosen.items()}
        reports = {}
        for name, split in splits.items():
            pairs = contrast(name, split.train)
            controls = {
                "random vectors": random_rows(vectors[name], name, n_random, how.seed),
                "shuffled labels": work.shuffled(vectors[name], pairs, vector, min(n_random, _SHUFFLES)),
            }
            reports[name] = work.report(name, vectors[name], split.test, controls, pairs)
            bar.update()
    return AcrossDatasets(reports, vectors, sweep)


def check_request(
    datasets: Mapping[str, Sequence[Choice]],
    vector: Estimator | SteeringVector,
    multipliers: Sequence[Number],
    seed: int,
) -> dict[str, Splits]:
    """The questions of each dataset for the fit, the choice of the layer and the report; none for a given vector.

    Raises:
        DataError: what `reliability_across` refuses without having seen the model.
    """
    if not datasets or not all(datasets.values()):
        raise DataError("give at least one dataset, each with choices")
    check_slope(multipliers)
    splits: dict[str, Splits] = {}
    for name, choices in datasets.items() if not isinstance(vector, SteeringVector) else ():
        try:
            splits[name] = split_choices(choices, seed)
        except DataError as error:
            raise DataError(f"dataset {name!r}: {error}") from None
    return splits


def check_slope(multipliers: Sequence[Number]) -> None:
    """Raises DataError where the multipliers are too few for a slope, or no numbers."""
    given = finite_numbers(multipliers, "multipliers")
    if len(set(given)) < 2:
        raise DataError(f"a slope needs at least two different multipliers, got {given}")


def _of_given(
    work: _Work, datasets: Mapping[str, Sequence[Choice]], vector: SteeringVector, n_random: int, progress: bool
) -> AcrossDatasets:
    # An affine map has no norm that a random vector could match.
    n_random = n_random if vector.operation.is_vector else 0
    reports = {}
    for name, choices in tqdm(datasets.items(), desc="reliability", unit="dataset", disable=not progress):
        random = random_rows(vector, name, n_random, work.how.seed)
        reports[name] = work.report(name, vector, choices, {"random vectors": random}, [])
    return AcrossDatasets(reports, dict.fromkeys(datasets, vector), None)


@dataclass(frozen=True)
class _Work:
    """What is done to each dataset, with the settings that all share."""

    model: Model
    surface: Surface
    store: Store
    how: Estimating
    read: Positions
    curves: dict[str, Any]

    def fit(self, pairs: Sequence[ContrastPair], sites: Sequence[Site], estimator: Estimator) -> list[SteeringVector]:
        """One vector per site; kept, so that a run that is resumed measures the same ones to the last bit."""
        return fit_contrastive(
            self.model, pairs, sites, estimator=estimator, positions=self.read, seed=self.how.seed,
            batch_size=self.how.batch_size, progress=False, run_dir=self.store,
        )  # fmt: skip

    def steerability_by_layer(self, vectors: Sequence[SteeringVector], choices: Sequence[Choice]) -> pd.DataFrame:
        curve = propensity(self.model, vectors, choices, run_dir=self.store, **self.curves)
        return reliability_table(curve, **self.how.intervals)

    def shuffled(
        self, vector: SteeringVector, pairs: Sequence[ContrastPair], estimator: Estimator, n: int
    ) -> list[SteeringVector]:
        """At the vector's norm: of labels that say nothing the estimate is short, which alone would do little."""
        fits = [self.fit(shuffled_labels(pairs, self.how.seed + k), [vector.site], estimator)[0] for k in range(n)]
        return [fit * (vector.norm / fit.norm) for fit in fits]

    def report(
        self,
        name: str,
        vector: SteeringVector,
        choices: Sequence[Choice],
        controls: Mapping[str, Sequence[SteeringVector]],
        pairs: Sequence[ContrastPair],
    ) -> ReliabilityReport:
        numbered = {f"{control} {k}": one for control, several in controls.items() for k, one in enumerate(several)}
        curve = propensity(self.model, {"": vector, **numbered}, choices, run_dir=self.store, **self.curves)
        about = {"dataset": name, "layer": vector.site.layer}
        compared = {
            control: curve.sel(vector=[f"{control} {k}" for k in range(len(several))])
            for control, several in controls.items()
            if several
        }
        return reliability(
            curve.sel(vector="", drop=True).assign_coords(about),
            controls=compared,
            diagnostics=self._diagnostics(vector, pairs),
            **self.how.intervals,
        )

    def _diagnostics(self, vector: SteeringVector, pairs: Sequence[ContrastPair]) -> dict[str, Any]:
        if len(pairs) < 3:
            return {}
        return diagnose(
            self.model, vector, pairs, self.read, confidence=self.how.confidence, batch_size=self.how.batch_size,
            progress=False, seed=self.how.seed,
        )  # fmt: skip


def _places(sites: Sequence[Place] | None, n_layers: int) -> list[Site]:
    every = range(min(1, n_layers - 1), n_layers)
    places = [Site.of(place).resolve(n_layers) for place in (every if sites is None else sites)]
    layers = [place.layer for place in places]
    if not places or len(set(layers)) < len(layers):
        raise SiteError(f"give at least one site to choose from, one per layer; got layers {layers}")
    return places


def _best(sweep: pd.DataFrame, names: Sequence[str], one_layer: bool) -> dict[str, int]:
    """Which of the sites, in their order, each dataset's vector is taken from."""
    table = sweep.pivot(index="dataset", columns="layer", values="steerability")[sweep["layer"].unique()]
    if one_layer:
        return dict.fromkeys(names, int(table.mean().argmax()))
    return {name: int(table.loc[name].argmax()) for name in names}
