"""Sites name residual positions, in every way they may be given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.small_models import unchecked
from tlsteer import Site, SiteError

stages = st.sampled_from(["pre", "mid", "post"])


@given(st.integers(0, 200), stages)
def test_a_hook_name_gives_its_site_back(layer, stage):
    site = Site(layer, stage)
    assert Site.of(site.hook_name) == site
    assert site.hook_name == f"blocks.{layer}.hook_resid_{stage}"


@given(st.integers(1, 50), st.data(), stages)
def test_negative_layers_count_from_the_end(n_layers, data, stage):
    layer = data.draw(st.integers(-n_layers, n_layers - 1))
    assert Site(layer, stage).resolve(n_layers) == Site(list(range(n_layers))[layer], stage)


@pytest.mark.parametrize("place", [4, np.int64(4), Site(4), "blocks.4.hook_resid_pre"], ids=repr)
def test_a_layer_a_site_and_a_hook_name_mean_the_same(place):
    site = unchecked(Site)(place) if isinstance(place, np.integer) else Site.of(place)
    assert site == Site(4, "pre")
    assert type(site.layer) is int
    assert repr(site) == "Site(4, 'pre')"


def test_sites_sort_by_layer_and_serve_as_keys():
    in_order = [Site(0), Site(0, "mid"), Site(0, "post"), Site(1)]
    assert sorted([in_order[i] for i in (2, 0, 3, 1)]) == in_order
    assert max(in_order) >= in_order[3] > in_order[2]
    assert {Site(1): "a"}[Site.of(1)] == "a"


@pytest.mark.parametrize("layer", [1.0, "1", True, None])
def test_a_layer_that_is_no_whole_number_is_refused(layer):
    with pytest.raises(SiteError, match=f"whole number, got {layer!r}"):
        unchecked(Site)(layer)


def test_an_unknown_stage_is_refused_with_those_there_are():
    with pytest.raises(SiteError, match="'middle' is unknown; use one of pre, mid, post"):
        unchecked(Site)(1, "middle")


@pytest.mark.parametrize("name", ["blocks.1.hook_in", "blocks.-1.hook_resid_pre", "hook_embed", "blocks.1.hook_resid_"])
def test_a_hook_name_of_another_place_is_refused(name):
    with pytest.raises(SiteError, match="names no residual position"):
        Site.of(name)


@pytest.mark.parametrize("layer", [4, -5, 400])
def test_a_layer_outside_the_model_is_refused_with_its_range(layer):
    with pytest.raises(SiteError, match=rf"layer {layer} is outside .* 0-3 \(or -4 to -1\)"):
        Site(layer).resolve(4)


def test_a_layer_from_the_end_has_no_hook_name_yet():
    with pytest.raises(SiteError, match="resolve"):
        _ = Site(-1).hook_name
