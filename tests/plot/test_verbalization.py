"""Pictures of verbalization and recovery show the result's own numbers, on the axes they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from tests.small_models import loaded
from tlsteer import Site, SteeringVector
from tlsteer.analyse._verbalization.falsehoods import make_falsehoods
from tlsteer.analyse._verbalization.picked_rows import rows_where
from tlsteer.analyse._verbalization.surprisal import surprisal
from tlsteer.analyse._verbalization.verbalization import verbalization_vs_recovery
from tlsteer.errors import DataError
from tlsteer.plot._verbalization import plot_mosaic, plot_rate_by_layer, plot_surprisal, plot_verbalization

TABLE = {"actor": [f"Actor {n}" for n in "ABCDEF"], "author": [f"Author {n}" for n in "ABCDEF"]}


@pytest.fixture(scope="module")
def found():
    """Outcomes that depend on the text alone, so that they vary with what is said."""

    def judge(statements, texts):
        lengths = [len(text.encode()) for text in texts]
        return {"recovered": [n % 2 == 0 for n in lengths], "fiction": [n % 3 == 0 for n in lengths]}

    vectors = {
        name: [SteeringVector(sign * torch.ones(32), Site(layer)) for layer in (1, 2)]
        for name, sign in (("up", 1.0), ("down", -1.0))
    }
    return verbalization_vs_recovery(
        loaded("llama"), vectors, make_falsehoods(TABLE), [0, 1, 2], judge=judge, retractions=["a", "e"],
        max_new_tokens=6, progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("measure", ["verbalized", "recovered", "fiction", "recovered_given_silent"])
def test_each_vector_is_a_line_over_layers_with_the_baselines_behind(found, measure, ax):
    assert plot_rate_by_layer(found, measure, multiplier=1, ax=ax) is ax
    labels = ax.get_legend_handles_labels()[1]
    assert sorted(labels) == sorted(["unsteered", "random, equal norm", "up", "down"])
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]
    for name in ("up", "down"):
        for kind in ("steered", "random"):
            rows = found.rates.pipe(rows_where, vector=name, kind=kind, multiplier=1)
            assert any(np.array_equal(one, rows[measure].to_numpy(float), equal_nan=True) for one in drawn)


def test_panels_stand_side_by_side_at_the_largest_multiplier_with_one_legend(found):
    axes = plot_verbalization(found)
    axes[0].figure.canvas.draw()
    assert [ax.get_title() for ax in axes] == [
        "says that it was false", "returns to the truth", "goes on with the fiction",
    ]  # fmt: skip
    assert all("x2" in ax.get_xlabel() for ax in axes)
    assert [ax.get_legend() is not None for ax in axes] == [False, False, True]
    plt.close(axes[0].figure)


def test_the_panels_share_the_place_of_one_pair_of_axes(found):
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    panels = plot_verbalization(found, ax=left)
    assert figure.axes == [right, *panels]
    figure.canvas.draw()
    assert panels[-1].bbox.x1 < right.bbox.x0
    assert [panel.get_ylabel() != "" for panel in panels] == [True, False, False]
    with pytest.raises(DataError, match="of a grid"):
        plot_verbalization(found, ax=figure.add_axes((0, 0, 1, 1)))
    plt.close(figure)


def test_a_mosaics_areas_are_the_shares_of_the_table(found, ax):
    table = found.table("up", 2, 1)
    assert plot_mosaic(found, "up", 2, 1, ax=ax) is ax
    areas = sorted(tile.get_width() * tile.get_height() for tile in ax.patches)
    assert areas == pytest.approx(sorted((table.to_numpy() / 12).ravel()))
    counts = [text.get_text().split()[0] for text in ax.texts]
    assert all(str(count) in counts for count in table.to_numpy().ravel() if count)
    assert "up, layer 2, x1" in ax.get_title()


@pytest.mark.parametrize("pick", [{}, {"vector": "down", "layer": 1, "multiplier": 2, "kind": "random"}])
def test_a_mosaic_names_its_setting(found, pick, ax):
    plot_mosaic(found, **pick, ax=ax)
    title = ax.get_title()
    assert ("random vectors of the norm of down, layer 1, x2" if pick else "unsteered") in title


def test_surprisal_has_a_mark_for_each_group_and_context(ax):
    texts = {"one": ["Sure.", "What is it?"], "other": ["I cannot say.", "Hello."]}
    contexts = {"true": ["This is a test.", "Hello world."], "none": []}
    scored = surprisal(loaded("llama"), texts, contexts, n_samples=1, progress=False)
    plot_surprisal(scored, ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one (n = 2)", "other (n = 2)"]
    labels = ax.get_legend_handles_labels()[1]
    assert "none" in labels
    assert any(label.startswith("true samples, themselves ") for label in labels)
    for context in contexts:
        means = rows_where(scored.means, context=context)["value"].to_numpy()
        assert any(np.array_equal(line.get_xdata(), means) for line in ax.lines)
