"""How far each token of a text lies along vectors, in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from tlsteer._arguments import checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer._token_labels import LINE_END
from tlsteer.analyse._reading.token_effects import projections
from tlsteer.errors import DataError
from tlsteer.plot._style import BLUE, RED
from tlsteer.vectors import SteeringVector
from tlsteer.views._tint import tint
from tlsteer.views._view import View, template

_ROWS = template("""\
<div style="font: 13px sans-serif; padding: 4px">
<div style="font-weight: bold">{{ title }}</div>
{% for line in lines %}
<div>{{ line }}</div>
{% endfor %}
<div style="margin-bottom: 8px">Colours:
<span style="background-color: {{ colour(1, 1) }}">&nbsp;along the vector&nbsp;</span>
<span style="background-color: {{ colour(-1, 1) }}">&nbsp;against it&nbsp;</span>, none at 0.</div>
{% for caption, (tokens, values, most) in rows.items() %}
<div style="font: 14px sans-serif; line-height: 1.7; margin-bottom: 10px">
<div>{{ caption }}</div>
{% for token in tokens %}
<span style="background-color: {{ colour(values[loop.index0], most) }}; white-space: pre-wrap"
 title="{{ values[loop.index0] }}">{{ token }}</span><wbr>
{%- endfor %}
</div>
{% endfor %}
</div>
""")


@checked
def view_projections(
    model: Model, vectors: SteeringVector | Mapping[str, SteeringVector], texts: str | Sequence[str]
) -> View:
    """The tokens of texts, coloured by how far their unsteered residual lies along a vector at its site.

    The colours of a vector reach the largest projection of any token but special and first ones, whose residuals are
    often many times as long; those are as dark as colours go. Pointing at a token shows its number, in units of the
    residual stream.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one, or several by name.
        texts: one, or several; chat template and all (see `chat_prompt`).

    Raises:
        DataError: no text, no vector, or a text too long for the model.
        VectorError: a vector of another model, or one of norm 0.

    >>> view_projections(model, {"promotion": fitted.vector, "diff_means": vector}, prompts)
    """
    named = vectors if isinstance(vectors, Mapping) else {"the vector": vectors}
    several = [texts] if isinstance(texts, str) else list(texts)
    if not named or not several:
        raise DataError("give at least one vector and one text")
    special = set(Surface(model).tokenizer.all_special_tokens)
    found = {name: [projections(model, vector, text) for text in several] for name, vector in named.items()}
    reach = {name: _reach(arrays, special) for name, arrays in found.items()}
    # A text below the other, and under each the vectors.
    rows = {
        " \u00b7 ".join([f"text {number}"] * (len(several) > 1) + [name] * (len(named) > 1)): (
            # A mark for a line end ends the line too, so that a chat reads as one.
            [label.replace(LINE_END, f"{LINE_END}\n") for label in array["token"].values],
            array.values.astype(float).round(3).tolist(),
            reach[name],
        )
        for number, arrays in enumerate(zip(*found.values(), strict=True))
        for name, array in zip(found, arrays, strict=True)
    }
    title = f"How far each token's residual lies along {' and '.join(named)}"
    lines = [f"{name}: at {vector.site}, colours reach \u00b1{reach[name]:.3g}" for name, vector in named.items()]
    return View(title, _ROWS.render(title=title, lines=lines, rows=rows, colour=_colour))


def _reach(arrays: Sequence[xr.DataArray], special: set[str]) -> float:
    """The value that is as dark as colours go."""
    usual = [
        abs(value)
        for array in arrays
        for token, value in zip(array["token"].values[1:], array.values[1:], strict=True)
        if token not in special
    ]
    return float(max(usual or [np.abs(array).max() for array in arrays])) or 1.0


def _colour(value: float, most: float) -> str:
    """None at 0, that of its side at `most` and beyond."""
    return tint(BLUE if value > 0 else RED, min(abs(value) / most, 1.0))
