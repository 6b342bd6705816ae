"""How choices are put to a model: the text of the prompt, where the answers begin, and contrast pairs of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tlsteer.data import Attitudes, Choice, ContrastPair, in_setting
from tlsteer.errors import DataError
from tlsteer.models import chat_prompt
from tlsteer.surface import Surface
from tlsteer.tokens import encode_completion


@dataclass(frozen=True)
class Asked:
    """A choice as text for one model.

    Attributes:
        prompt: ends where the answers begin to differ.
        positive: how the answer that shows the behaviour goes on.
        negative: how the other goes on.
    """

    prompt: str
    positive: str
    negative: str


def ask_choices(model: Any, choices: Sequence[Choice]) -> list[Asked]:
    """Choices in the model's chat format, or as "question, Answer:" where its tokenizer has no chat template.

    Raises:
        DataError: no choices, or a chat template that refuses them, such as one without system messages.
    """
    if not choices:
        raise DataError("give at least one Choice")
    surface = Surface(model)
    return [_ask(surface, choice) for choice in choices]


def answer_pairs(model: Any, choices: Sequence[Choice]) -> list[ContrastPair]:
    """Each prompt with its positive and with its negative answer, for `fit_contrastive` at the last token.

    >>> caa = fit_contrastive(model, answer_pairs(model, choices), Site(13))
    """
    asked = ask_choices(model, choices)
    return [ContrastPair(one.prompt + one.positive, one.prompt + one.negative) for one in asked]


def attitude_pairs(
    model: Any, choices: Sequence[Choice], attitudes: Attitudes, place: Literal["system", "user"] = "system"
) -> list[ContrastPair]:
    """Each prompt after a sentence for and after one against the behaviour, without an answer.

    The two sides differ in length, so fit them with `positions="all"`, the mean over tokens.

    >>> fit_contrastive(model, attitude_pairs(model, choices, attitudes), Site(3), positions="all")
    """
    sides = ("SYS_POS", "SYS_NEG") if place == "system" else ("USER_POS", "USER_NEG")
    both = [ask_choices(model, in_setting(choices, side, attitudes)) for side in sides]
    return [ContrastPair(one.prompt, other.prompt) for one, other in zip(*both, strict=True)]


def _ask(surface: Surface, choice: Choice) -> Asked:
    if getattr(surface.tokenizer, "chat_template", None) is None:
        system = f"{choice.system}\n\n" if choice.system else ""
        # The space belongs to the answer: tokenizers join it with what follows.
        text, start = f"{system}{choice.question}\n\nAnswer:", f" {choice.prefill}"
    else:
        turns = [("system", choice.system), ("user", choice.question)]
        messages = [{"role": role, "content": content} for role, content in turns if content]
        text, start = chat_prompt(surface.model, messages), choice.prefill
    whole = text + start
    # What the tokenizer would join with the answer, as "(A" or " A" may be one token, moves over to the answers.
    cuts = (len(whole), len(text), len(text.rstrip()))
    ways = [Asked(whole[:cut], whole[cut:] + choice.positive, whole[cut:] + choice.negative) for cut in cuts]
    return next((way for way in ways if _splits(surface, way)), ways[0])


def _splits(surface: Surface, asked: Asked) -> bool:
    """Whether no token spans the end of the prompt."""
    try:
        for answer in (asked.positive, asked.negative):
            encode_completion(surface, asked.prompt, answer)
    except DataError:
        return False
    return True
