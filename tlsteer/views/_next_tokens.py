"""What a model expects next at each position of a text, steered against unsteered."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import Whole, checked
from tlsteer._model_type import Model
from tlsteer._numbers import Number
from tlsteer._surface import Surface
from tlsteer._token_labels import token_labels
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import DataError
from tlsteer.fit._objectives import divergence
from tlsteer.plot._style import BLUE, ORANGE
from tlsteer.positions import Positions
from tlsteer.steering import Intervention, steer
from tlsteer.tokens import encode_completion, encode_prompts, pad
from tlsteer.vectors import SteeringVector
from tlsteer.views._tint import NONE, tint
from tlsteer.views._view import View, template

# A smaller probability, or change of one, is not shown.
_RARE = 0.01

_TABLE = template("""\
<div style="font: 13px sans-serif; padding: 4px">
<div style="font-weight: bold">{{ title }}</div>
<div style="margin-bottom: 6px">{{ about }}
<span style="background-color: {{ up }}">&nbsp;likelier&nbsp;</span> and
<span style="background-color: {{ down }}">&nbsp;less likely&nbsp;</span> than unsteered by at least 1 point.</div>
<table style="width: 100%; border-collapse: collapse; text-align: left">
<tr style="border-bottom: 1px solid rgba(128, 128, 128, 0.8)">
<th style="width: 76px; text-align: right; padding: 2px 8px">position</th>
<th style="width: 14%; text-align: left; padding: 2px 8px">token</th>
<th style="text-align: left; padding: 2px 8px">next, unsteered</th>
<th style="text-align: left; padding: 2px 8px">next, steered</th>
<th style="width: 84px; text-align: right; padding: 2px 8px">KL (nats)</th>
</tr>
{% for row in rows %}
<tr style="background-color: transparent; border-bottom: 1px solid rgba(128, 128, 128, 0.4)">
<td style="text-align: right; padding: 2px 8px">{{ row.position }}</td>
<td style="text-align: left; padding: 2px 8px; font-weight: {{ 'bold' if row.in_prompt else 'normal' }}">
<span style="white-space: pre">{{ row.token }}</span></td>
{% for side in (row.unsteered, row.steered) %}
<td style="text-align: left; padding: 2px 8px; white-space: normal">
{% for token, probability, colour in side %}
<span style="display: inline-block; white-space: pre; background-color: {{ colour }}; padding: 0 3px; margin: 0 3px">
{{- token }} {{ "%.0f" | format(100 * probability) }}%</span>
{% endfor %}
</td>
{% endfor %}
<td style="text-align: right; padding: 2px 8px">{{ "%.2f" | format(row.kl) }}</td>
</tr>
{% endfor %}
</table>
</div>
""")


@checked
@torch.no_grad()
def view_next_tokens(
    model: Model,
    vector: SteeringVector,
    prompt: PromptLike,
    multiplier: Number = 1.0,
    *,
    completion: PromptLike = "",
    positions: Positions = "all",
    top_k: Whole = 4,
) -> View:
    """The likeliest next tokens after each token of a text, unsteered and steered, and how far the two are apart.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vector: what steers.
        prompt: the text; chat template and all (see `chat_prompt`).
        multiplier: of the vector.
        completion: what follows the prompt, where that is to be read too.
        positions: where the vector is applied.
        top_k: at most how many tokens per position; those below 1% are left out.

    Returns:
        A row for each token: probabilities of what may follow it, and KL(unsteered || steered).

    Raises:
        DataError: a text too long for the model, a token that spans the boundary, or `top_k` below 1.
        VectorError: a vector of another model.
        PositionError: positions that select nothing.

    >>> view_next_tokens(model, fitted.vector, prompts[0], 1.5, positions="completion")
    """
    surface = Surface(model)
    if top_k < 1:
        raise DataError(f"top_k={top_k} has to be at least 1")
    before, after = (
        encode_completion(surface, prompt, completion) if completion else (encode_prompts(surface, [prompt])[0], [])
    )
    tokens, mask = pad(surface, [before + after], "right")
    unsteered = surface.forward(tokens, mask)[0].float().log_softmax(-1)
    with steer(model, Intervention(vector, multiplier, positions), prompt_lengths=[len(before)]):
        steered = surface.forward(tokens, mask)[0].float().log_softmax(-1)
    kl = divergence(steered, unsteered).tolist()
    rows = [
        {
            "position": at,
            "token": label,
            "in_prompt": at < len(before),
            "unsteered": _likeliest(surface, unsteered[at].exp(), unsteered[at].exp(), top_k),
            "steered": _likeliest(surface, steered[at].exp(), unsteered[at].exp(), top_k),
            "kl": kl[at],
        }
        for at, label in enumerate(token_labels(surface, before + after))
    ]
    title = f"Next tokens, unsteered and steered: {vector.site}, multiplier {multiplier:g}, positions {positions!r}"
    about = f"Up to {top_k} likeliest next tokens after each token (prompt in bold). Steered ones are"
    return View(title, _TABLE.render(title=title, about=about, rows=rows, up=_colour(0.5), down=_colour(-0.5)))


def _likeliest(
    surface: Surface, chances: Float[Tensor, " d_vocab"], unsteered: Float[Tensor, " d_vocab"], k: int
) -> list[tuple[str, float, str]]:
    """The likeliest tokens with their probability and the colour of its change; rare ones only in the first place."""
    found = chances.topk(min(k, len(chances)))
    labels = token_labels(surface, found.indices.tolist())
    return [
        (label, chance, _colour(chance - unsteered[token].item()))
        for place, (label, chance, token) in enumerate(
            zip(labels, found.values.tolist(), found.indices.tolist(), strict=True)
        )
        if chance >= _RARE or place == 0
    ]


def _colour(change: float) -> str:
    if abs(change) < _RARE:
        return NONE
    return tint(ORANGE if change > 0 else BLUE, 0.25 + 0.75 * min(abs(change), 1.0))
