"""Pictures show the numbers they were given, whatever the tokens."""

import numpy as np
import pytest
import torch

from tests.small_models import WIDTH, loaded
from tlsteer import SteeringVector
from tlsteer.analyse._reading.readout import read_out
from tlsteer.analyse._reading.token_effects import token_effects
from tlsteer.analyse._reading.tracing import trace
from tlsteer.plot._reading import (
    plot_readout,
    plot_token_effects,
    plot_trace,
    plot_trace_map,
    plot_written,
)

pytestmark = pytest.mark.usefixtures("closed")
VECTOR = SteeringVector(torch.randn(WIDTH, generator=torch.Generator().manual_seed(0)), 1)
HOSTILE = "$x^$ <b>\n_"


@pytest.fixture(scope="module")
def traced():
    return trace(loaded("gpt2"), VECTOR, ["Hello world", HOSTILE], progress=False)


def texts(labels):
    return [label.get_text() for label in labels]


def literal(label):
    return label.replace("$", "\\$")


def test_the_most_promoted_token_is_on_top_and_the_most_suppressed_one_at_the_bottom():
    table = read_out(loaded("gpt2"), VECTOR, k=4, n_random=5)
    ax = plot_readout(table)
    logits = table[table["reading"] == "logit"]
    bars = sorted((bar.get_y(), bar.get_width()) for bar in ax.patches)
    assert [width for _, width in bars] == pytest.approx(sorted(logits["value"]))
    shown = dict(zip(ax.get_yticks(), texts(ax.get_yticklabels()), strict=True))
    assert shown[0] == literal(logits["token"].iloc[0])
    assert shown[-7] == literal(logits[logits["side"] == "suppressed"]["token"].iloc[0])


def test_a_trace_is_shown_as_its_mean_over_prompts(traced):
    ax = plot_trace(traced, "projection")
    mean = traced["projection"].sel(position=-1).mean("sample")
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(lines["vector"], mean.sel(direction="vector"), rtol=1e-5)
    np.testing.assert_allclose(lines["random, same norm"], mean.sel(direction="random 0"), rtol=1e-5)


def test_what_was_written_adds_up_to_one(traced):
    assert sum(bar.get_height() for bar in plot_written(traced).patches) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("quantity", ["relative_norm", "cosine", "projection"])
def test_a_map_has_a_column_for_each_token_of_the_prompt_alone(traced, quantity):
    ax = plot_trace_map(traced, 0, quantity)
    tokens = traced["token"].sel(sample=0).values
    assert texts(ax.get_xticklabels()) == [literal(token) for token in tokens if token]
    np.testing.assert_allclose(
        ax.images[0].get_array(),
        traced[quantity].sel(sample=0, direction="vector").values[:, tokens != ""],
    )


def test_effects_are_bars_over_their_tokens():
    effects = token_effects(loaded("gpt2"), VECTOR, HOSTILE, "A", "$", n_random=2, progress=False)
    ax = plot_token_effects(effects)
    bars = [bar for bar in ax.patches if bar.get_width() == pytest.approx(0.8)]
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars}
    assert [heights[place] for place in range(len(heights))] == pytest.approx(effects["alone"].values.tolist())
    assert plot_token_effects(effects.isel(random=slice(0))).lines
