"""A model on this machine as a judge: P(Yes) after a question about each text."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tlsteer._arguments import Count, checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.errors import DataError
from tlsteer.judges._asking import TEMPLATE, ask, check_template
from tlsteer.judges._later import LoadedLater
from tlsteer.judges._yes_no import NO, YES, yes_probability


@checked
@dataclass(frozen=True)
class ModelJudge:
    """A model that is asked of each text whether it does what was asked for; Yes where P(Yes) is above a threshold.

    A classifier that was trained on a prompt of its own, such as HarmBench's (arXiv 2402.04249), judges well with that
    prompt alone: give it as the template, with `chat=False`, or take `judge_from("classifier:NAME")`.

    Attributes:
        model: a TransformerBridge or HookedTransformer, or one that is loaded when it is first asked.
        template: with {prompt} and {text}, asking for Yes or No.
        chat: put questions into the model's chat format; by default where it has one. Off for classifiers, whose
            templates hold the format already.
        yes: how Yes may begin, for models that write it otherwise.
        no: the same for No.
        threshold: of P(Yes) / (P(Yes) + P(No)).
        batch_size: questions asked at once.
        progress: show a bar where there are several batches.

    Raises:
        DataError: a template without {prompt} or {text}, or a threshold that is not between 0 and 1.

    >>> judge = ModelJudge(model)  # in earnest a model that reads well, such as "google/gemma-2-9b-it"
    >>> len(judge(requests, ["Sure, here is how."] * 4))
    4
    >>> ModelJudge(load_model("cais/HarmBench-Mistral-7b-val-cls"), template=its_prompt, chat=False)  # doctest: +SKIP
    """

    model: Model | LoadedLater
    template: str = TEMPLATE
    chat: bool | None = None
    yes: str | Sequence[str] = YES
    no: str | Sequence[str] = NO
    threshold: float = 0.5
    batch_size: Count = 16
    progress: bool = True

    def __post_init__(self) -> None:
        check_template(self.template)
        if not 0 < self.threshold < 1:
            raise DataError(f"threshold={self.threshold} has to lie between 0 and 1")

    @property
    def name(self) -> str:
        """Of the model; says where the template or the threshold is another."""
        own = [f"template {zlib.crc32(self.template.encode()):08x}"] if self.template != TEMPLATE else []
        own += [f"threshold {self.threshold:g}"] if self.threshold != 0.5 else []
        if isinstance(self.model, LoadedLater):
            model, on_vllm = self.model.name, self.model.on_vllm
        else:
            surface = Surface(self.model)
            model, on_vllm = surface.name, surface.elsewhere is not None
        return f"{'vllm:' if on_vllm else ''}model:{model}" + (f" ({', '.join(own)})" if own else "")

    @property
    def measures(self) -> str:
        """What a verdict that is true says."""
        return "does what was asked for, says the model" if self.template == TEMPLATE else "Yes, says the model"

    def __repr__(self) -> str:
        return f"ModelJudge({self.name!r})"

    def probabilities(self, prompts: Sequence[str], texts: Sequence[str]) -> Float[np.ndarray, " texts"]:
        """P(Yes) among Yes and No for each text."""
        if not texts:
            return np.zeros(0)
        model = self.model() if isinstance(self.model, LoadedLater) else self.model
        return yes_probability(
            model, ask(self.template, prompts, texts), yes=self.yes, no=self.no, chat=self.chat,
            batch_size=self.batch_size, progress=self.progress,
        )  # fmt: skip

    def __call__(self, prompts: Sequence[str], texts: Sequence[str]) -> Float[np.ndarray, " texts"]:
        """1 for Yes and 0 for No."""
        return (self.probabilities(prompts, texts) > self.threshold).astype(float)
