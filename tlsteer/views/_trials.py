"""A trial as it is written: texts side by side, tokens coloured by what steering does to them, and next tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tlsteer._arguments import checked
from tlsteer.errors import DataError
from tlsteer.plot._style import BLUE, GREY, ORANGE
from tlsteer.trials import RANDOM, REACH_NATS, STEERED, UNSTEERED, Finished, Step
from tlsteer.views._tint import LINE, PANEL, tint
from tlsteer.views._view import View, template

_LINES = {UNSTEERED: f"3px solid {GREY}", STEERED: f"3px solid {BLUE}", RANDOM: f"3px dashed {GREY}"}

_TRIAL = template("""\
<div style="font: 14px sans-serif; padding: 4px">
<div style="margin-bottom: 8px"><span style="background-color: {{ tone(-9) }}; padding: 1px 4px">less likely</span>
<span style="background-color: {{ tone(9) }}; padding: 1px 4px">likelier</span> than the other model expects it
after the same text</div>
<div style="display: flex; flex-wrap: wrap">
{% for name, card in cards.items() %}
<div style="flex: 1 1 220px; margin: 0 10px 10px 0; padding: 6px 10px; border-top: {{ lines[name] }};
 background-color: {{ panel }}">
<div><span style="font-weight: bold">{{ name }}</span> \u00b7 {{ card.effect }}</div>
<div style="line-height: 1.7; margin: 6px 0">
{%- for step in card.steps -%}
<span style="background-color: {{ tone(step.shift) }}; white-space: pre-wrap"
 title="{{ step.token }}: {{ "%+.2f" | format(step.shift) }} nats">{{ step.piece }}</span>
{%- endfor -%}
</div>
<div style="font-size: 12px; opacity: 0.75">{{ card.end }}</div>
</div>
{% endfor %}
</div>
{% if step %}
<div>Next token in the {{ step.name }} text after <span style="white-space: pre-wrap">\u201c{{ before }}\u201d</span>
(KL {{ "%.2f" | format(step.kl) }} nats)</div>
<table style="border-collapse: collapse; text-align: left; margin-top: 4px">
<tr>{% for head in ("token", "unsteered", "", other, "") %}
<th style="text-align: left; padding: 2px 10px 2px 0; font-weight: normal; opacity: 0.75">{{ head }}</th>
{% endfor %}</tr>
{% for token, baseline, after in step.likeliest %}
<tr style="background-color: transparent; border-top: 1px solid {{ line }}">
<td style="text-align: left; padding: 2px 10px 2px 0; font-weight: {{ 'bold' if token == step.token else 'normal' }}">
<span style="white-space: pre">{{ token }}</span></td>
{% for share, colour in ((baseline, grey), (after, blue)) %}
<td style="text-align: left; padding: 2px 4px 2px 0"><div style="width: {{ (140 * share) | round(1) }}px; height: 9px;
 background-color: {{ colour }}"></div></td>
<td style="text-align: right; padding: 2px 14px 2px 0">{{ "%.1f" | format(100 * share) }}%</td>
{% endfor %}
</tr>
{% endfor %}
</table>
{% endif %}
</div>
""")


@dataclass
class _Card:
    """A condition's text so far."""

    steps: list[Step] = field(default_factory=list)
    written: Finished | None = None

    @property
    def effect(self) -> str:
        """The mean divergence so far."""
        if not self.steps:
            return ""
        whose = "KL if steered" if self.steps[0].name == UNSTEERED else "side effect (KL)"
        return f"{whose} {sum(one.kl for one in self.steps) / len(self.steps):.2f} nats/token"

    @property
    def end(self) -> str:
        """How long it is, and how it ended."""
        how = "" if self.written is None else ", ended by the model" if self.written.ended else ", then cut"
        return f"{len(self.steps)} tokens{how}"


@checked
def view_trial(steps: Iterable[Step | Finished], at: int | None = None) -> View:
    """The texts of a trial side by side, and the likeliest next tokens at one place of the steered text.

    A token's colour says how much likelier steering makes it, or in the unsteered text, would make it; its number
    shows where the mouse rests. Above each text stands the mean KL(unsteered || its condition) of its predictions.

    Args:
        steps: of `Trial.stream`, all or those so far.
        at: of which token of the steered text the expectations are shown; by default of that with the largest KL.

    Raises:
        DataError: no token yet, or fewer than `at` asks for.

    >>> view_trial(trials.Trial(prompts[0], [Intervention(vector, 2.0)], max_new_tokens=4).stream(model))
    """
    cards: dict[str, _Card] = {}
    for one in steps:
        card = cards.setdefault(one.name, _Card())
        if isinstance(one, Step):
            card.steps.append(one)
        else:
            card.written = one
    steered = cards.get(STEERED, _Card()).steps
    if not steered or not -len(steered) <= (at or 0) < len(steered):
        raise DataError(f"there is no token {at or 0}: the steered text has {len(steered)} so far")
    place = max(range(len(steered)), key=lambda i: steered[i].kl) if at is None else at % len(steered)
    html = _TRIAL.render(
        cards=cards, lines=_LINES, panel=PANEL, line=LINE, grey=GREY, blue=BLUE, tone=_tone, step=steered[place],
        other=STEERED, before="".join(one.piece for one in steered[:place])[-60:].lstrip(),
    )  # fmt: skip
    return View("unsteered, steered and under a random vector", html)


def _tone(shift: float) -> str:
    return tint(ORANGE if shift > 0 else BLUE, min(abs(shift) / REACH_NATS, 1.0))
