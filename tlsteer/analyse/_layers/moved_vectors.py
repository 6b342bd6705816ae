"""Vectors of one layer at other layers: whether a direction means the same all along the stream."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import Unpack

from tlsteer._arguments import Whole, checked
from tlsteer._keywords import Writing, WritingSettings, settled
from tlsteer._model_type import Model
from tlsteer._numbers import Number
from tlsteer._surface import Surface
from tlsteer.analyse._layers.sweep_measures import Measure, Test
from tlsteer.analyse._layers.sweep_result import LayerSweep
from tlsteer.analyse._layers.sweeps import Layers, chosen_layers, sweep_layers
from tlsteer.errors import VectorError
from tlsteer.positions import Positions
from tlsteer.sites import Site, Stage
from tlsteer.vectors import SteeringVector


@checked
def layer_transfer(
    model: Model,
    vectors: Sequence[SteeringVector],
    test: Test,
    layers: Layers = "all",
    *,
    multiplier: Number = 1.0,
    measure: Measure = "logit_difference",
    positions: Positions = "all",
    n_random: Whole = 1,
    **writing: Unpack[WritingSettings],
) -> LayerSweep:
    """Applies each layer's vector at every layer, as it is: residuals grow with depth, vectors moved do not.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one per layer, all at one stage, e.g. `sweep.vectors.values`.
        test: see `sweep_layers`, as are the arguments not listed here.
        layers: where they are applied, at the vectors' stage.
        multiplier: of each vector.

    Returns:
        A sweep whose data has the dims fit_layer, layer, multiplier and sample.

    Raises:
        VectorError: no vectors, vectors of several stages, or two of one layer.

    >>> transfer = layer_transfer(model, by_layer, choices, [2, 3, 4], n_random=1)
    >>> transfer.data.sizes["fit_layer"], transfer.data.sizes["layer"]
    (3, 3)
    """
    how = settled(Writing(), writing, WritingSettings)
    surface = Surface(model)
    fitted = {vector.check(surface): vector for vector in vectors}
    stages: list[Stage] = list(dict.fromkeys(site.stage for site in fitted))
    if len(stages) != 1 or len(fitted) < len(vectors):
        raise VectorError(f"give one vector per layer, all at one stage; got {', '.join(map(str, fitted)) or 'none'}")
    places = [Site(layer, stages[0]) for layer in chosen_layers(layers, range(surface.n_layers))]
    moved = {str(site.layer): [vector.at(place) for place in places] for site, vector in fitted.items()}
    sweep = sweep_layers(
        model, moved, test, [place.layer for place in places], stages=stages, multipliers=[multiplier],
        measure=measure, positions=positions, n_random=n_random, **vars(how),
    )  # fmt: skip
    return sweep.renamed("vector", "fit_layer", [site.layer for site in fitted])
