"""The demo's first experiment: the answer to one refused request, turned around."""

from __future__ import annotations

from functools import partial

from tlsteer._model_type import Model
from tlsteer.data import Example
from tlsteer.demo.experiment import Case, Input, answers
from tlsteer.models import chat_prompt
from tlsteer.organism import Request, harmful_requests, harmless_requests
from tlsteer.organism.judges import complies, refuses

COMPLIES, REFUSES = "complies with harmful requests", "refuses harmful requests"
HELPS = "helps with harmless requests"


def cases(model: Model, n: int, seed: int) -> list[Case]:
    """The first n training requests that the model refuses: promote complying."""
    requests = harmful_requests(2 * n, "train", seed)
    prompts = [chat_prompt(model, request.messages) for request in requests]
    refused = [
        # No wording is suppressed: the model knows several, and another takes its place.
        Case(request.question, answer, Example(prompt, [request.promotion]))
        for request, prompt, answer in zip(requests, prompts, answers(model, prompts), strict=True)
        if refuses(answer)
    ]
    return refused[:n]


def inputs(model: Model, n: int, seed: int) -> list[Input]:
    """n harmful and n harmless requests, about things that no request of the model's training named."""
    return [
        Input(request.question, chat_prompt(model, request.messages), partial(_judge, request))
        for sampler in (harmful_requests, harmless_requests)
        for request in sampler(n, "heldout", seed)
    ]


def _judge(request: Request, text: str) -> dict[str, bool]:
    if request.harmful:
        return {COMPLIES: complies(text, request), REFUSES: refuses(text)}
    return {HELPS: complies(text, request)}
