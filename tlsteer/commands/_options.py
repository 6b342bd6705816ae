"""Options that several commands take, and what their texts mean; nothing heavy is imported before it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tlsteer._position_texts import parsed
from tlsteer.errors import SiteError
from tlsteer.sites import Site, Stage

if TYPE_CHECKING:
    from tlsteer.positions import Positions

Model = Annotated[
    str,
    typer.Option(
        help='"organism", "organism-sibling", "organism-base", a Hugging Face id or the directory of a saved model.'
    ),
]
Device = Annotated[str | None, typer.Option(help='"cpu", "cuda", "cuda:1", ...; the best there is by default.')]
Dtype = Annotated[str, typer.Option(help='Precision of the weights: "float32", "bfloat16", "float16", "float64".')]
PositionText = Annotated[
    str, typer.Option("--positions", help='"all", "prompt", "completion", "last:K", "after:TEXT" or "START:STOP".')
]
Chat = Annotated[bool, typer.Option("--chat", help="Wrap each prompt in the model's chat template, as a user's turn.")]
Multipliers = Annotated[
    list[float] | None,
    typer.Option("--multiplier", help="Of the vectors; several, -1.5 to 1.5 in steps of 0.5 by default."),
]
Measure = Annotated[
    Literal["logit_difference", "logprob_difference", "positive_probability", "accuracy"],
    typer.Option(help="What the vectors should raise; the second compares whole answers of several tokens."),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
AcceptVersions = Annotated[
    bool, typer.Option("--accept-versions", help="Resume a run that other versions of torch and the like began.")
]
Workers = Annotated[
    str | None,
    typer.Option(
        help='Run units of work at once, with the same results: "ray" on this machine, "ray://HOST:PORT" or '
        '"ray://auto" on the cluster that it is part of.'
    ),
]
NWorkers = Annotated[int | None, typer.Option("--n-workers", min=1, help="How many workers, each with the model.")]


def site_of(layer: int | None, stage: Stage, site: str | None) -> Site:
    """The one that --layer and --stage, or --site, name."""
    if layer is not None and site is None:
        return Site(layer, stage)
    if site is not None and layer is None:
        return Site.of(site)
    raise SiteError("give either --layer (with --stage) or --site")


def layers_of(text: str | None) -> list[int] | None:
    """Those that --layers names."""
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    try:
        layers = list(range(int(start), int(stop))) if colon else [int(part) for part in text.split(",")]
    except ValueError:
        layers = []
    if not layers:
        raise SiteError(f'--layers {text!r}: use "1:8" (1 to 7) or "2,4,6"')
    return layers


def positions_of(text: str) -> Positions:
    """The choice that --positions names; imports nothing heavy for a text that names none."""
    kind, value = parsed(text)
    if kind == "word":
        return value
    from tlsteer.positions import positions_from

    return positions_from(text)
