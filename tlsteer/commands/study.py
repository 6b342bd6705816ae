"""`tlsteer study`: a study in a run folder, with its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer

from tlsteer.commands._options import AcceptVersions, Device, Model, NWorkers, Seed, Workers
from tlsteer.commands._running import Said, in_flags, on_workers, rows_of, run_in, shows_bars
from tlsteer.errors import DataError, TlsteerError, WorkerError
from tlsteer.studies import find_study, study_names


def study(
    name: Annotated[
        str, typer.Argument(help=f"{', '.join(study_names())}; or one of your own, as package.module:OBJECT.")
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[--SETTING VALUE]...", help="Settings of the study, such as --layer 14."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME by default.")] = None,
    model: Model = "organism",
    preset: Annotated[
        str | None,
        typer.Option(help="Settings by name, or a TOML or JSON file of settings; those of the model by default."),
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="A file of the study's inputs, for a model that is not embedded.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help='Who judges texts: "organism", "substrings", "model:NAME", "classifier:NAME", "classifier:NAME#FILE", '
            '"vllm:model:NAME", ... or "endpoint:URL#MODEL". A judge model is loaded when the texts are written and '
            "the model has made room."
        ),
    ] = None,
    other: Annotated[str | None, typer.Option(help="A second model, where the study takes one.")] = None,
    seed: Seed = 0,
    device: Device = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help='What writes texts in place of the model: "vllm", or with its settings "vllm:max_model_len=2048".'
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what the run would do and take, and how long after ten seconds; no run.")
    ] = False,
    workers: Workers = None,
    n_workers: NWorkers = None,
    accept_versions: AcceptVersions = False,
) -> Said:
    """Repeat a study of the papers, and write a page with its numbers alongside theirs.

    A run that was stopped is resumed when it is started again with the same arguments. Every setting of a study is an
    option too: --layer 14, --n-fits 4, --dtype bfloat16, --judge-device cuda:1; one that takes several values is given
    several times. Memory is told, and refused where it is not there, before anything is loaded; --plan tells the rest.

    \b
    Example:
      tlsteer study refusal
      tlsteer study refusal --model google/gemma-2-2b-it --preset gemma-2-2b-it \\
        --data HarmBench/data/behavior_datasets --judge classifier:cais/HarmBench-Llama-2-13b-cls \\
        --output runs/gemma
      tlsteer study refusal --model google/gemma-2-2b-it --data HarmBench/data/behavior_datasets \\
        --judge substrings --plan
      tlsteer study refusal --model my-model --layer 14 --refusals "I cannot" --refusals "Sorry" \\
        --data harmbench.json --judge substrings
    """
    found = find_study(name)
    known = [field.name for field in fields(found.kind)]
    settings = _settings(words or [], known)
    folder = output or Path("runs") / found.name
    asked = {
        "preset": preset, "data": _one_or_several(data or []), "judge": judge, "other": other, "device": device,
        "engine": engine, "seed": seed, **settings,
    }  # fmt: skip
    if engine is not None and workers is not None:
        raise WorkerError("--engine writes all texts in one batch of vLLM, so there is nothing for --workers; give one")
    if plan and (workers is not None or n_workers is not None):
        raise WorkerError("--plan says how long the work takes on this machine alone; leave out --workers, --n-workers")
    try:
        if plan:
            planned = str(found.plan(model, **asked))
            return Said(planned, {"plan": planned})
        with run_in(folder, accept_versions), on_workers(workers, n_workers):
            result = found.run(model, run_dir=folder, progress=shows_bars(), **asked)
    except TlsteerError as error:
        raise type(error)(in_flags(str(error), {one: _flag(one) for one in known})) from error

    from tlsteer import report

    page, ran = report.write(folder), result.config.get("model")
    on = [f"Run on {ran['name']} ({ran['dtype']} on {ran['device']})."] if ran else []
    findings = "\n".join(f"  {finding}" for finding in result.findings)
    last = "\n".join([*on, f"The page of this run: {page}"])
    text = "\n\n".join(filter(None, [result.question, result.headline, result.answer, findings, last]))
    values = {one: getattr(result, one) for one in ("name", "question", "headline", "answer", "warnings")}
    return Said(text, values | {"model": ran, "findings": rows_of(result.to_dataframe()), "page": str(page)})


def _one_or_several(files: Sequence[Path]) -> str | list[str] | None:
    several = [str(file) for file in files]
    return several[0] if len(several) == 1 else several or None


def _settings(words: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """The settings that the options name which are not the command's own.

    Raises:
        DataError: one is no setting, or has no value.
    """
    found: dict[str, list[str]] = {}
    flags = {_flag(name): name for name in known}
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag not in flags:
            near = get_close_matches(flag, [*flags, *map(_flag, signature(study).parameters)], 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise DataError(f"there is no option {flag}{hint}; the settings of this study are {', '.join(flags)}")
        value = value if equals else next(rest, None)
        if value is None:
            raise DataError(f"{flag} needs a value")
        found.setdefault(flags[flag], []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
