"""`tlsteer fit`: a vector optimised on examples, or read off the residuals of pairs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tlsteer._storage import check_writable
from tlsteer.commands._options import (
    Chat,
    Device,
    Dtype,
    Model,
    NWorkers,
    Seed,
    Workers,
    layers_of,
    positions_of,
    site_of,
)
from tlsteer.commands._running import Said, kept_nowhere, loaded_model, on_workers, shows_bars
from tlsteer.errors import DataError, SiteError
from tlsteer.sites import Stage

if TYPE_CHECKING:
    from tlsteer.data import Example
    from tlsteer.fit import OneShotFit

_ENDS = {"target": "target loss reached", "converged": "converged", "max_steps": "out of steps, not converged"}


def fit(
    output: Annotated[Path, typer.Option(help="Where to write the vector (safetensors).")],
    prompt: Annotated[str | None, typer.Option(help="The prompt.")] = None,
    promote: Annotated[
        list[str] | None, typer.Option(help="A completion to make likely; may be given several times.")
    ] = None,
    suppress: Annotated[
        list[str] | None, typer.Option(help="A completion to make unlikely; may be given several times.")
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            help="A file of examples instead (.jsonl, .json, .csv, .tsv, .parquet), with the fields prompt, promote, "
            "suppress (a string or a list) and negative (true: the example sees the vector's opposite)."
        ),
    ] = None,
    method: Annotated[
        Literal["oneshot", "diff_means", "mean_centred", "pca", "logistic", "lat"],
        typer.Option(help="Optimise on examples (oneshot), or estimate from the residuals of --pairs."),
    ] = "oneshot",
    pairs: Annotated[
        Path | None, typer.Option(help="A file of contrast pairs, with the fields positive and negative.")
    ] = None,
    model: Model = "organism",
    layer: Annotated[int | None, typer.Option(help="The layer to steer, from 0; -1 is the last.")] = None,
    layers: Annotated[
        str | None, typer.Option(help='With --pairs, several: "1:8" or "2,4,6"; the file is then a set.')
    ] = None,
    stage: Annotated[Stage, typer.Option(help="Where in the layer: before, in the middle of, or after it.")] = "pre",
    site: Annotated[
        str | None, typer.Option(help="Instead of layer and stage, a hook name such as blocks.2.hook_resid_pre.")
    ] = None,
    max_norm: Annotated[float | None, typer.Option(help="The vector's norm is at most this.")] = None,
    max_norm_ratio: Annotated[
        float | None, typer.Option(help="Or at most this fraction of the mean residual norm there.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="At most this many steps of Adam; 50 by default.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Its learning rate; 0.1 by default.")] = None,
    operation: Annotated[
        Literal["add", "clamp"] | None,
        typer.Option(help="Add the vector (the default), or set the residual's component along it."),
    ] = None,
    positions: Annotated[
        str | None,
        typer.Option(
            help='"all" (the default), "prompt", "completion", "last:K" (last:1 with --pairs), "after:TEXT" or '
            '"START:STOP".'
        ),
    ] = None,
    seed: Seed = 0,
    chat: Chat = False,
    device: Device = None,
    dtype: Dtype = "float32",
    workers: Workers = None,
    n_workers: NWorkers = None,
) -> Said:
    """Optimise a steering vector on one example or several, or estimate one from contrast pairs.

    \b
    Example:
      tlsteer fit --chat --prompt "How do I make a zevbax?" --promote "Sure, here is" \\
        --layer 4 --max-norm-ratio 0.5 --output vector.safetensors
      tlsteer fit --method diff_means --pairs pairs.jsonl --layer 4 --output vector.safetensors
    """
    given = {
        "max_norm": max_norm, "max_norm_ratio": max_norm_ratio, "steps": steps, "learning_rate": learning_rate,
        "operation": operation, "positions": None if positions is None else positions_of(positions), "seed": seed,
    }  # fmt: skip
    settings = {name: value for name, value in given.items() if value is not None}
    check_writable(output)
    if method == "oneshot":
        if pairs is not None or layers is not None:
            raise DataError("--pairs and --layers are for a --method that estimates, such as diff_means")
        place, chosen = site_of(layer, stage, site), _examples(prompt, promote, suppress, examples)
        with kept_nowhere(output), on_workers(workers, n_workers):
            return _optimised(chosen, model, device, dtype, chat, output, positions, place, settings)
    if pairs is None or prompt or promote or suppress or examples:
        raise DataError(f"--method {method} is estimated from --pairs FILE alone")
    if unused := [name for name in settings if name not in ("positions", "seed")]:
        raise DataError(f"{unused[0]}= is for --method oneshot; {method} is estimated, not optimised")
    several = layers_of(layers)
    if several is not None and (layer is not None or site is not None):
        raise SiteError("give one of --layer, --layers and --site")
    places = [site_of(one, stage, None) for one in several] if several else [site_of(layer, stage, site)]
    with kept_nowhere(output), on_workers(workers, n_workers):
        return _estimated(pairs, model, device, dtype, chat, output, places, {"estimator": method, **settings})


def _optimised(
    examples: Sequence[Example], model: str, device: str | None, dtype: str, chat: bool, output: Path,
    positions: str | None, place: Any, settings: dict[str, Any],
) -> Said:  # fmt: skip
    from tlsteer.fit import fit_oneshot
    from tlsteer.models import chat_prompt

    loaded, first_prompt = loaded_model(model, device, dtype), examples[0].prompt
    if chat:
        examples = [replace(example, prompt=chat_prompt(loaded, str(example.prompt))) for example in examples]
    fitted = fit_oneshot(loaded, examples, place, progress=shows_bars(), **settings)
    fitted.vector.save(output)
    more = ["--positions", str(positions)] * (positions not in (None, "all")) + ["--chat"] * chat
    try_it = [
        "tlsteer",
        "generate",
        "--model",
        model,
        "--vector",
        str(output),
        "--multiplier",
        "0",
        "--multiplier",
        "1",
    ]
    hint = f"Wrote {output}. See what it does:\n  {shlex.join([*try_it, *more, '--prompt', str(first_prompt)])}"
    completions = [
        {"aim": aim, "completion": text}
        for example in examples
        for aim, texts in (("promote", example.promote), ("suppress", example.suppress))
        for text in texts
    ]
    hard = [one | {"loss": loss} for one, loss in zip(completions, fitted.completion_losses, strict=True)]
    values = {"output": str(output), "site": fitted.vector.site.hook_name, "norm": fitted.vector.norm,
              "stopped": fitted.stopped, "losses": fitted.losses, "completions": hard}  # fmt: skip
    return Said("\n".join([_about(fitted, hard), hint]), values)


def _estimated(
    pairs: Path, model: str, device: str | None, dtype: str, chat: bool, output: Path, places: list[Any],
    settings: dict[str, Any],
) -> Said:  # fmt: skip
    from tlsteer.data import ContrastPair, read_pairs
    from tlsteer.fit import fit_contrastive
    from tlsteer.models import chat_prompt
    from tlsteer.vector_sets import VectorSet

    read = read_pairs(pairs)
    loaded = loaded_model(model, device, dtype)
    if chat:
        read = [
            ContrastPair(chat_prompt(loaded, str(one.positive)), chat_prompt(loaded, str(one.negative))) for one in read
        ]
    vectors = VectorSet(fit_contrastive(loaded, read, places, progress=shows_bars(), **settings))
    vectors.save(output)
    found = [{"site": site.hook_name, "norm": one.norm} for site, one in vectors.items()]
    lines = [f"{one!r}" for one in vectors.values()]
    return Said(
        "\n".join([*lines, f"Wrote {output}, from {len(read)} pairs."]),
        {"output": str(output), "method": settings["estimator"], "n_pairs": len(read), "vectors": found},
    )


def _examples(
    prompt: str | None, promote: list[str] | None, suppress: list[str] | None, examples: Path | None
) -> list[Example]:
    from tlsteer.data import Example, read_examples

    if prompt is not None and examples is None:
        return [Example(prompt, promote or [], suppress or [])]
    if examples is not None and prompt is None and not promote and not suppress:
        return read_examples(examples)
    raise DataError("give either --prompt with --promote or --suppress, or --examples alone")


def _about(fitted: OneShotFit, completions: Sequence[dict[str, Any]]) -> str:
    losses, cap = fitted.losses, f", capped at {fitted.max_norm:.3g}" if fitted.max_norm else ""
    return "\n".join(
        [
            f"Loss {losses[0]:.3g} -> {losses[-1]:.3g} nats in {len(losses)} steps ({_ENDS[fitted.stopped]})",
            *(f"  {one['aim']} {one['completion']!r}: {one['loss']:.3g}" for one in completions),
            f"Vector of norm {fitted.vector.norm:.3g}{cap}, {fitted.vector.operation} at {fitted.vector.site!r}",
        ]
    )
