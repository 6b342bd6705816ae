"""Judges by name, for the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tlsteer._arguments import checked
from tlsteer._model_type import Model
from tlsteer._storage import read_file
from tlsteer.errors import DataError
from tlsteer.judges._asking import check_template
from tlsteer.judges._classifiers import classifier_template
from tlsteer.judges._endpoint import KEY_VARIABLE, EndpointJudge
from tlsteer.judges._grammar import MEASURES, GrammarJudge
from tlsteer.judges._later import LoadedLater
from tlsteer.judges._local_model import ModelJudge
from tlsteer.judges._phrases import PhraseJudge
from tlsteer.judges._protocol import FunctionJudge, Judge
from tlsteer.serving._named_engine import check_engine

# What a call takes as a judge: its name, itself, or a function of prompts and texts that gives verdicts.
JudgeLike = Judge | str | Callable[[Sequence[str], Sequence[str]], Any]

KNOWN = f"""\
  organism               the grammar of the embedded model's world: does the text serve the request?
  organism:MEASURE       another of its measures: {", ".join(MEASURES)}
  substrings             no phrase of refusal: an upper bound on attack success
  model:NAME             a model on this machine, asked Yes or No in its chat format
  classifier:NAME        the same without chat format, with the prompt that its card shows, as HarmBench's does
  classifier:NAME#FILE   the same with the prompt in a file, {{prompt}} and {{text}} in it
  vllm:model:NAME        either of these three run by vLLM, where that is installed: vllm:classifier:NAME, ...
  endpoint:URL#MODEL     a model behind an OpenAI-compatible endpoint, e.g. endpoint:http://localhost:8000/v1#NAME;
                         sends requests and texts there, with the key in {KEY_VARIABLE} if it is set"""


@checked
def judge_from(spec: JudgeLike, *, device: str | None = None, dtype: str | None = None, later: bool = False) -> Judge:
    """The judge that a name, a judge or a function stands for.

    Args:
        spec: a judge, its name or a function.
        device: of a judge model that is given by name; see `load_model`. vLLM takes its own.
        dtype: of its weights.
        later: load such a model when it is first asked, so that another one can have its room until then.

    Raises:
        DataError: a name of no judge; the message lists all.
        ModelError: a judge model that cannot be loaded.

    >>> judge_from("organism").name
    'organism:complies'
    >>> judge = judge_from(lambda prompts, texts: ["sure" in text.lower() for text in texts])
    >>> judge_from("classifier:cais/HarmBench-Llama-2-13b-cls", dtype="bfloat16", later=True)
    """
    if isinstance(spec, str):
        kind, _, rest = spec.partition(":")
        on_vllm = kind == "vllm" and rest.startswith(("model:", "classifier:"))
        if on_vllm:
            check_engine(kind)  # before what it is to judge is written
        return _named(rest if on_vllm else spec, lambda name: _model(LoadedLater(name, device, dtype, on_vllm), later))
    if isinstance(spec, Judge):
        return spec
    return FunctionJudge(spec, getattr(spec, "__name__", type(spec).__name__))


def _model(model: LoadedLater, later: bool) -> Model | LoadedLater:
    return model if later else model()


def _named(spec: str, model: Callable[[str], Model | LoadedLater]) -> Judge:
    kind, _, rest = spec.partition(":")
    # A "#" may stand in a path, and in a URL too.
    name, _, last = rest.rpartition("#")
    if kind == "organism":
        return GrammarJudge(rest) if rest else GrammarJudge()
    if spec == "substrings":
        return PhraseJudge()
    if kind == "model" and rest:
        return ModelJudge(model(rest))
    if kind == "classifier" and name and last:
        template = check_template(_read(Path(last)))
        return ModelJudge(model(name), template, chat=False)
    if kind == "classifier" and rest and "#" not in rest:
        template = classifier_template(rest)
        return ModelJudge(model(rest), template, chat=False)
    if kind == "endpoint" and name and last:
        return EndpointJudge(name, last)
    raise DataError(f"there is no judge {spec!r}; give one of\n{KNOWN}\nor, in Python, a function")


def _read(file: Path) -> str:
    try:
        return read_file(file).decode()
    except UnicodeDecodeError:
        raise DataError(f"the judge's template {str(file)!r} is not UTF-8 text") from None
