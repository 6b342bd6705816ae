"""A vector explored by hand in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import xarray as xr

from tlsteer._arguments import Count, checked
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._surface import Surface
from tlsteer.analyse._verbalization.retractions import Patterns
from tlsteer.errors import TlsteerError
from tlsteer.evaluate._propensity import MULTIPLIERS
from tlsteer.evaluate._vector_grid import VectorGrid, Vectors
from tlsteer.positions import Positions, check_positions
from tlsteer.tokens import encode_prompts
from tlsteer.views._curves import Curves

if TYPE_CHECKING:
    from tlsteer.views._explorer import Explorer


@checked
def explore(
    model: Model,
    vectors: Vectors,
    prompts: str | Sequence[str],
    curve: xr.DataArray | None = None,
    *,
    multipliers: Sequence[Number] | None = None,
    positions: Positions = "all",
    marks: Mapping[str, Patterns] | None = None,
    max_new_tokens: Count = 40,
) -> Explorer:
    """Widgets to write a prompt, pick multipliers, layers and positions of vectors, and see texts and curve change.

    Texts appear as they are written: unsteered, steered, and under random vectors of the same norms, each token
    coloured by how much steering shifts it, with the likeliest next tokens (see `view_trial`). Each setting is
    generated once, greedily. Needs ipywidgets: `pip install "tlsteer[widgets]"`.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one vector; a list, one per layer; or either by name.
        prompts: to begin with; chat template and all (see `chat_prompt`).
        curve: of `propensity` for the same vectors, to see where on it one stands.
        multipliers: of the slider; those of the curve by default.
        positions: where the vectors are applied first; "all", "prompt" and "completion" can be picked too.
        marks: what to mark in the continuations, see `view_texts`.
        max_new_tokens: of each continuation.

    Raises:
        TlsteerError: ipywidgets is not installed.
        DataError: no prompts, one too long for the model, or a curve of other vectors.
        VectorError: vectors of another model, or lists with different layers.

    >>> explore(model, {"caa": by_layer}, prompts, propensity(model, {"caa": by_layer}, choices, [-1, 0, 1]))
    """
    if find_spec("ipywidgets") is None:
        raise TlsteerError('the explorer needs ipywidgets; install it with: pip install "tlsteer[widgets]"')
    from tlsteer.views._explorer import Explorer

    surface = Surface(model)
    grid = VectorGrid.of(vectors, surface)
    several = [prompts] if isinstance(prompts, str) else list(prompts)
    encode_prompts(surface, several, room=max_new_tokens)
    check_positions(positions)
    curves = None if curve is None else Curves(curve, grid)
    if multipliers is None:
        multipliers = MULTIPLIERS if curves is None else curves.multipliers
    return Explorer(
        model, grid, several, curves, multipliers=finite_numbers(multipliers, "multipliers"),
        positions=positions, marks=marks, max_new_tokens=max_new_tokens,
    )  # fmt: skip
