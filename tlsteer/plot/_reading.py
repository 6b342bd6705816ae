"""What is read from a vector: its tokens, what becomes of it, and which tokens carry its effect."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from typing_extensions import Unpack

from tlsteer._token_labels import marked
from tlsteer.plot._fitting import legend_around, legend_below, ticks_at
from tlsteer.plot._style import Colour, Look, chance, draws, new_axes, paint, series, tidy

_QUANTITIES = {
    "relative_norm": "length of the difference /\nlength of the residual",
    "cosine": "cosine of the difference\nwith the vector",
    "projection": "difference along the vector\n(residual units)",
}
_Quantity = Literal["relative_norm", "cosine", "projection"]
_COMPONENTS: dict[str, Colour] = {"edit": "grey", "attention": "blue", "mlp": "orange"}


@draws
def plot_readout(table: pd.DataFrame, reading: str = "logit", ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """The tokens a vector promotes and suppresses most, as bars; a mark at what random directions reach.

    Args:
        table: of `read_out`.
        reading: which of its readings.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_readout(analyse.read_out(model, vector, k=3))
    """
    # The most promoted token on top, the most suppressed one at the bottom.
    rows = table.query("reading == @reading").sort_values("value", ascending=False)
    ax = ax or new_axes(4.8, 1.0 + 0.21 * len(rows))
    places = -np.arange(len(rows))
    promoted = (rows["side"] == "promoted").to_numpy()
    for side, label, colour in ((promoted, "promoted", paint("blue")), (~promoted, "suppressed", paint("red"))):
        ax.barh(places[side], rows["value"][side], 0.75, color=colour, label=label)
    ax.plot(rows["random_95"], places, "|", color=paint("ink"), markersize=8, label="95% of random directions")
    ax.axvline(0, color=paint("ink"), linewidth=0.8)
    ax.set_yticks(places, [_literal(token) for token in rows["token"]])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(
        "logit (nats, less the vocabulary's mean)"
        if reading == "logit"
        else f"{reading.replace(' ', ' with the ')} of the token"
    )
    legend_below(ax)
    return tidy(ax)


@draws
def plot_trace(
    traced: xr.Dataset,
    quantity: _Quantity = "relative_norm",
    position: int = -1,
    ax: Axes | None = None,
    **look: Unpack[Look],
) -> Axes:
    """How the steered residual differs at one position, by layer: every prompt, faint, and their mean.

    Args:
        traced: of `trace`.
        quantity: `relative_norm`, `cosine` or `projection`.
        position: counted from the prompt's end.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_trace(analyse.trace(model, vector, prompts))
    """
    ax = ax or new_axes(6.2, 3.4)
    at = traced[quantity].sel(position=position).dropna("sample", how="all")  # prompts that are long enough
    layers = at["layer"].values
    for name in reversed(at["direction"].values):
        is_vector = name == "vector"
        lines, look_of = (
            at.sel(direction=name).transpose("layer", "sample").values,
            series(0) if is_vector else chance(),
        )
        ax.plot(layers, lines, color=look_of["color"], alpha=min(0.3, 5 / lines.shape[1]), linewidth=0.7)
        label = "vector" if is_vector else ("random, same norm" if name == "random 0" else None)
        ax.plot(layers, lines.mean(1), label=label, **look_of)
    ax.axhline(0, color=paint("ink"), linewidth=0.8)
    ticks_at(ax, layers.tolist())
    ax.set_xlabel(f"after layer (steered at {traced.attrs['site']})")
    ax.set_ylabel(_QUANTITIES[quantity])
    ax.set_title(f"mean of {at.sizes['sample']} prompts, token {position}", fontsize="medium")
    legend_around(ax)
    return tidy(ax)


@draws
def plot_written(traced: xr.Dataset, position: int = -1, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """Which layers wrote the difference that is left after the last one: the edit, attention and MLPs, by layer.

    Bars are means over prompts and add up to 1; dots are prompts.

    Args:
        traced: of `trace`.
        position: counted from the prompt's end.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_written(analyse.trace(model, vector, prompts))
    """
    ax = ax or new_axes(6.8, 3.4)
    share = traced["written_share"].sel(position=position, direction="vector").dropna("sample", how="all")
    share = share.transpose("component", "layer", "sample")
    layers, width = share["layer"].values, 0.27
    for number, (component, colour) in enumerate((name, paint(one)) for name, one in _COMPONENTS.items()):
        values, places = share.sel(component=component).values, layers + (number - 1) * width
        if component == "edit":  # there is one, in the layer that is steered
            values, places = values[:1], places[:1]
        ax.bar(places, values.mean(1), width, color=colour, alpha=0.75, label=component)
        ax.plot(places, values, ".", color=paint("ink"), markersize=2, alpha=0.4)
    ax.axhline(0, color=paint("ink"), linewidth=0.8)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ticks_at(ax, layers.tolist())
    ax.set_xlabel(f"layer (steered at {traced.attrs['site']})")
    ax.set_ylabel("share of the difference\nafter the last layer")
    ax.set_title(f"mean of {share.sizes['sample']} prompts, token {position}", fontsize="medium")
    legend_around(ax)
    return tidy(ax)


@draws
def plot_trace_map(
    traced: xr.Dataset,
    sample: int = 0,
    quantity: _Quantity = "relative_norm",
    ax: Axes | None = None,
    **look: Unpack[Look],
) -> Axes:
    """How the steered residual of one prompt differs, layer by token, as colours.

    Args:
        traced: of `trace`.
        sample: which prompt.
        quantity: `relative_norm`, `cosine` or `projection`.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_trace_map(analyse.trace(model, vector, prompts), sample=1)
    """
    at = traced[quantity].sel(sample=sample, direction="vector").transpose("layer", "position")
    real = traced["token"].sel(sample=sample).values != ""
    values, tokens = at.values[:, real], traced["token"].sel(sample=sample).values[real]
    ax = ax or new_axes(1.8 + 0.36 * len(tokens), 1.6 + 0.28 * len(values))
    limit = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    cmap, least = ("Blues", 0.0) if quantity == "relative_norm" else ("RdBu", -limit)
    image = ax.imshow(values, cmap=cmap, vmin=least, vmax=limit, aspect="auto", origin="lower")
    ax.set_yticks(range(len(values)), at["layer"].values)
    ax.set_xticks(range(len(tokens)), [_literal(token) for token in tokens], rotation=60, ha="right", fontsize="small")
    ax.tick_params(length=0)
    ax.set_ylabel("after layer")
    ax.figure.colorbar(image, ax=ax, label=_QUANTITIES[quantity])
    return ax


@draws
def plot_token_effects(effects: xr.Dataset, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
    """What steering each token alone does to the answer, as bars over the prompt; random vectors' range in grey.

    Args:
        effects: of `token_effects`.
        ax: where to draw; new axes by default.
        look: figsize, title and palette; see `Look`.

    >>> axes = plot_token_effects(analyse.token_effects(model, vector, prompts[0], "Sure", "I"))
    """
    alone, tokens = effects["alone"].values, effects["token"].values
    ax = ax or new_axes(3.4 + 0.36 * len(tokens), 3.2)
    places = np.arange(len(tokens))
    for side, colour, label in ((alone >= 0, paint("blue"), "towards"), (alone < 0, paint("red"), "away")):
        if side.any():
            ax.bar(places[side], alone[side], 0.8, color=colour, label=label)
    random = effects["random_alone"].transpose("random", "position").values
    if len(random):
        low, high = random.min(0), random.max(0)
        ax.bar(
            places, high - low, 0.5, low, color=paint("grey"), alpha=0.6, label=f"range of {len(random)} random vectors"
        )
    ax.plot(
        places,
        effects["without"].values,
        "_",
        color=paint("green"),
        markersize=9,
        markeredgewidth=2,
        label="lost without it",
    )
    ax.axhline(0, color=paint("ink"), linewidth=0.8)
    ax.set_xticks(places, [_literal(token) for token in tokens], rotation=60, ha="right", fontsize="small")
    ax.tick_params(axis="x", length=0)
    promote, suppress = effects.attrs["promote"], effects.attrs["suppress"]
    against = f" - log p({_literal(marked(suppress))})" if suppress else ""
    ax.set_ylabel("change of the score (nats)")
    ax.set_title(
        f"log p({_literal(marked(promote))}){against}: {effects['unsteered'].item():.2f} unsteered, "
        f"{effects['steered'].item():.2f} with all tokens steered",
        fontsize="medium",
    )
    legend_around(ax)
    return tidy(ax)


def _literal(text: str) -> str:
    """A text as a picture shows it: dollar signs are not taken for mathematics."""
    return text.replace("$", r"\$")
