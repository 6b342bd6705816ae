"""Vectors applied at other layers than their own."""

import numpy as np

from tests.analyse.layers.sweeping import CHOICES, vectors
from tests.small_models import loaded
from tlsteer import (
    propensity,
)
from tlsteer.analyse._layers.moved_vectors import layer_transfer


def test_layer_transfer_applies_each_vector_everywhere():
    found = layer_transfer(loaded(), vectors()[1:], CHOICES, [0, 2], multiplier=0.5, progress=False)
    assert found.data.dims == ("fit_layer", "layer", "multiplier", "sample")
    assert found.data.fit_layer.values.tolist() == [1, 2, 3]
    moved = propensity(loaded(), vectors()[3].at(0), CHOICES, [0.5], progress=False)
    np.testing.assert_allclose(found.data.sel(fit_layer=3, layer=0).values.T, moved, atol=1e-4)
    own = propensity(loaded(), vectors()[2], CHOICES, [0.5], progress=False)
    np.testing.assert_allclose(found.data.sel(fit_layer=2, layer=2).values.T, own, atol=1e-4)
    single = layer_transfer(loaded(), vectors()[1:2], CHOICES, [0, 2], progress=False)
    assert single.data.sizes["fit_layer"] == 1
