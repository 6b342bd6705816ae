"""Texts with what was looked for in colour: side by side where there are several of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, groupby

from tlsteer._arguments import checked
from tlsteer.analyse._verbalization.retractions import Patterns, retraction_spans
from tlsteer.errors import DataError
from tlsteer.plot._style import BLUE, GREEN, ORANGE, PINK, RED, SKY, YELLOW
from tlsteer.views._tint import tint
from tlsteer.views._view import View, template

_COLOURS = [tint(colour, 0.75) for colour in (ORANGE, SKY, GREEN, PINK, YELLOW, RED, BLUE)]

_TEXTS = template("""\
<div style="font: 14px sans-serif; padding: 4px">
{% if marks %}
<div style="margin-bottom: 8px">
{% for name, colour, counts in marks %}
<span style="background-color: {{ colour }}; padding: 1px 4px; margin-right: 4px">{{ name }}</span>
<span style="margin-right: 16px">{{ counts }}</span>
{% endfor %}
</div>
{% endif %}
<table style="width: 100%; border-collapse: collapse; text-align: left">
{% if columns != [""] %}
<tr>
{% for name in columns %}
<th style="text-align: left; padding: 4px 8px; border-bottom: 1px solid rgba(128, 128, 128, 0.8)">{{ name }}</th>
{% endfor %}
</tr>
{% endif %}
{% for row in rows %}
<tr style="background-color: transparent">
{% for cell in row %}
<td style="text-align: left; vertical-align: top; padding: 4px 8px; border-bottom: 1px solid rgba(128, 128, 128, 0.4)">
{%- for piece, name, colour in cell -%}
{%- if colour -%}
<span style="background-color: {{ colour }}; white-space: pre-wrap" title="{{ name }}">{{ piece }}</span>
{%- else -%}
<span style="white-space: pre-wrap">{{ piece }}</span>
{%- endif -%}
{%- endfor -%}
</td>
{% endfor %}
</tr>
{% endfor %}
</table>
</div>
""")


@checked
def view_texts(
    texts: Sequence[str] | Mapping[str, Sequence[str]],
    marks: Mapping[str, Patterns] | None = None,
    *,
    prompts: Sequence[str] | None = None,
) -> View:
    """Texts, with what matches in colour and how many match.

    Args:
        texts: a list, or lists of one length by name, such as the conditions of an experiment; each is a column.
        marks: what to look for, by its name: strings, found in whatever case, and compiled regular expressions, found
            as they are. Where two overlap the first has its colour.
        prompts: of each row, shown before it and not marked.

    Raises:
        DataError: no texts, columns of different lengths, or a pattern that is found in every text.

    >>> plain, steered = (generate(model, prompts, some, max_new_tokens=8) for some in ((), vector))
    >>> view_texts({"unsteered": plain, "steered": steered}, {"retraction": ["just kidding"]})
    """
    shown = {name: list(column) for name, column in (texts if isinstance(texts, Mapping) else {"": texts}).items()}
    before = {} if prompts is None else {"prompt": list(prompts)}
    lengths = {len(column) for column in (*shown.values(), *before.values())}
    if len(lengths) != 1 or lengths == {0}:
        raise DataError(f"give at least one text, and as many under each name; got {_lengths(before | shown)}")
    found = {
        name: [[retraction_spans(text, patterns) for text in column] for column in shown.values()]
        for name, patterns in (marks or {}).items()
    }
    colours = dict(zip(found, cycle(_COLOURS)))
    legend = [(name, colours[name], _counts(shown, columns)) for name, columns in found.items()]
    cells = [
        [
            [(piece, name, colours.get(name)) for piece, name in _pieces(text, {m: found[m][at][row] for m in found})]
            for row, text in enumerate(column)
        ]
        for at, column in enumerate(shown.values())
    ]
    asked = [[[(prompt, "", None)] for prompt in column] for column in before.values()]
    heads = [*before, *shown]
    return View("Texts", _TEXTS.render(marks=legend, columns=heads, rows=list(zip(*asked, *cells, strict=True))))


def _pieces(text: str, spans: Mapping[str, Sequence[tuple[int, int]]]) -> list[tuple[str, str]]:
    """A text cut where a mark begins or ends, each piece with its mark's name, or none."""
    owners = [""] * len(text)
    for name in reversed(list(spans)):
        for start, end in spans[name]:
            owners[start:end] = [name] * (end - start)
    return [
        ("".join(letter for letter, _ in piece), name)
        for name, piece in groupby(zip(text, owners, strict=True), key=lambda one: one[1])
    ]


def _counts(shown: Mapping[str, Sequence[str]], columns: Sequence[Sequence[list]]) -> str:
    """In how many texts of each column a mark was found."""
    return "; ".join(
        f"{name and f'{name}: '}{sum(map(bool, column))} of {len(column)}"
        for name, column in zip(shown, columns, strict=True)
    )


def _lengths(columns: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{name or 'texts'}: {len(column)}" for name, column in columns.items()) or "none"
