"""Pictures of compared vectors show the results' own numbers, on the axes they are given."""

import numpy as np
import pytest
import torch
import xarray as xr

from tests.plot.gallery import paths
from tests.small_models import WIDTH, loaded
from tlsteer import SteeringVector
from tlsteer.analyse._comparison.comparison import compare_vectors
from tlsteer.analyse._comparison.connectivity import mode_connectivity
from tlsteer.analyse._comparison.connectivity_result import ModeConnectivity
from tlsteer.analyse._comparison.effects import compare_effects
from tlsteer.analyse._comparison.transfer import TransferMatrix
from tlsteer.plot._comparison import plot_cosine_against_effect, plot_cosines, plot_effects, plot_norms
from tlsteer.plot._connectivity import plot_paths
from tlsteer.plot._style import paint
from tlsteer.plot._transfer import plot_transfer

X = np.array([-1.0, 0.0, 1.0])


def vectors():
    rows = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(0))
    rows[2] = 2 * rows[0] + 0.2 * rows[1]
    return {name: SteeringVector(row, 1) for name, row in zip(("a", "b", "like a", "random"), rows, strict=True)}


@pytest.fixture(scope="module")
def comparison():
    return compare_vectors(vectors())


@pytest.fixture(scope="module")
def effects():
    common = np.random.default_rng(0).normal(size=40)
    own = np.random.default_rng(1).normal(size=(4, 40))
    slopes = np.stack([common + 0.2 * own[0], common + 0.2 * own[1], common + 0.2 * own[2], own[3]])
    labels = {"vector": list(vectors()), "multiplier": X}
    curves = xr.DataArray(slopes[..., None] * X, labels, ("vector", "sample", "multiplier"))
    return compare_effects(curves, random=["random"], n_resamples=50)


def cells(ax):
    return np.array([text.get_text() for text in ax.texts])


def test_cosines_stand_in_the_tree_s_order_with_chance_in_grey(comparison, ax):
    assert plot_cosines(comparison, ax) is ax
    order = comparison.order
    assert [label.get_text() for label in ax.get_yticklabels()] == order
    shown, grey = (image.get_array() for image in ax.images[:2])
    expected = comparison.cosine.sel(vector=order, other=order)
    np.testing.assert_allclose(shown, expected)
    beyond = comparison.beyond_chance.sel(vector=order, other=order).values
    assert (np.ma.getmaskarray(np.ma.masked_invalid(grey)) == beyond).all()
    assert cells(ax)[0] == "1.00"
    assert "uniform under 0.3" in ax.get_xlabel()
    assert len(ax.figure.axes) == 3


def test_norms_are_bars_as_long_as_the_norms(comparison, ax):
    plot_norms(comparison, ax)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == comparison.order[::-1]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [vectors()[name].norm for name in names])
    assert ax.get_xlabel() == "norm"


def test_effects_take_the_order_of_the_cosines_and_random_vectors_come_last(effects, ax):
    plot_effects(effects, ["b", "like a", "a"], ax)
    names = ["b", "like a", "a", "random"]
    assert [label.get_text() for label in ax.get_xticklabels()] == names
    np.testing.assert_allclose(ax.images[0].get_array(), effects.correlation.sel(vector=names, other=names))
    assert "n = 40" in ax.get_title()
    assert ax.lines[0].get_ydata() == [2.5, 2.5]


def test_the_scatter_names_pairs_with_one_effect_in_two_directions(comparison, effects, ax):
    plot_cosine_against_effect(comparison, effects, ax)
    pairs = effects.beside(comparison)
    found = pairs[pairs["same_effect_other_direction"]]
    assert set(cells(ax)) == {f"{pair.vector} / {pair.other}" for pair in found.itertuples()} == {"a / b", "b / like a"}
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["with a random vector (3 pairs)", "others (1 pairs)", "one effect, two directions (2 pairs)"]
    points = np.concatenate([np.stack(line.lines[0].get_data(), 1) for line in ax.containers])
    assert sorted(points[:, 0]) == pytest.approx(sorted(pairs["cosine"]))
    assert sorted(points[:, 1]) == pytest.approx(sorted(pairs["correlation"]))


def test_the_transfer_matrix_shows_values_intervals_and_a_line_above_random_vectors(ax):
    dims, value = ("vector", "task"), np.array([[1.0, -0.5], [0.1, 0.0]])
    data = xr.Dataset(
        {
            "steerability": (dims, value),
            "steerability_low": (dims, value - 0.2),
            "steerability_high": (dims, value + 0.2),
        }
        | {"anti_steerable": (dims, value), "n": (dims, np.full((2, 2), 7))},
        {"vector": ["a", "random 0"], "task": ["a", "b"], "random": ("vector", [0, 1])},
        {"units": "nats"},
    )
    plot_transfer(TransferMatrix(data), ax)
    assert cells(ax).tolist()[:2] == ["1.00\n[0.80, 1.20]", "-0.50\n[-0.70, -0.30]"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a\n(n = 7)", "b\n(n = 7)"]
    assert ax.lines[0].get_ydata() == [0.5, 0.5]


def test_paths_with_a_barrier_are_red_and_counted(ax):
    axes = {f"v{i}": SteeringVector(torch.eye(WIDTH)[i], 1) for i in range(3)}

    def loss(rows):
        rows = rows.numpy()
        return 2.0 - 2 * np.maximum((rows[:, :2] ** 2).sum(1) > 0.8, rows[:, 2] ** 2 > 0.8)

    found = mode_connectivity(loaded(), axes, loss, n_random=0, progress=False)
    plot_paths(found, ax)
    labels = ax.get_legend_handles_labels()[1]
    assert "between vectors (1 of 3 connected)" in labels
    assert "barrier between solutions (2)" in labels
    drawn = [line for line in ax.lines if line.get_color() == paint("red") and len(line.get_ydata())]
    assert sorted(line.get_ydata().max() for line in drawn) == [2.0, 2.0]


def test_barriers_of_several_kinds_of_paths_are_counted_in_one_entry(ax):
    found = paths()
    everywhere = 4.0 * np.sin(np.pi * found.data["fraction"])
    plot_paths(ModeConnectivity(found.data.assign(loss=0.0 * found.data["loss"] + 0.4 + everywhere)), ax)
    barriers = [label for label in ax.get_legend_handles_labels()[1] if label.startswith("barrier")]
    assert barriers == ["barrier between solutions (21)"]
