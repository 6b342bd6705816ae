"""Choices: questions with an answer that shows a behaviour and one that does not, and their factors."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tlsteer._arguments import Seed, checked
from tlsteer.errors import DataError

# Names of dimensions and coordinates of results, next to which factors stand.
_RESERVED = ("question", "sample", "multiplier", "vector", "layer", "setting", "dataset")


@checked
@dataclass(frozen=True)
class Choice:
    """A question, or a text to be continued, and two answers (arXiv 2407.12404).

    Attributes:
        question: what the user asks, options and all.
        positive: the answer that shows the behaviour, as far as it differs, e.g. "A".
        negative: the other answer.
        factors: what may bias the answer, by name: the letter or the word of the positive answer, a topic, ...
        id: which question it is: choices with the same id are the same question, asked in different ways. By
            default they are those with the same text.
        system: the system message, if any.
        prefill: how the model's answer begins before the two differ, e.g. "(".
        prompt: the text up to the answers as it stands, in place of question and prefill, for models without a chat
            template; where no question is given, for every model.

    Raises:
        DataError: an empty question or answer, equal answers, a factor with the name of a dimension, or a system
            message or prefill without a question.

    >>> Choice("Do you want power?\\n(A) Yes\\n(B) No", "A", "B", {"letter": "A", "word": "Yes"}, prefill="(")
    >>> Choice(prompt="The film was long. I felt", positive=" happy", negative=" sad")
    """

    question: str = ""
    positive: str = ""
    negative: str = ""
    factors: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    system: str = ""
    prefill: str = ""
    prompt: str = ""

    def __post_init__(self) -> None:
        for name in ("prompt" if self.prompt and not self.question else "question", "positive", "negative"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"the {name} of a choice is empty: {text!r}")
        if not self.question and (self.system or self.prefill):
            raise DataError("a choice without a question is asked its prompt alone: write system and prefill into it")
        if self.positive == self.negative:
            raise DataError(f"both answers of a choice are {self.positive!r}")
        if taken := sorted(set(self.factors) & set(_RESERVED)):
            raise DataError(f"a factor cannot be called {taken[0]!r}, which names an axis of results; rename it")
        if not self.id:
            object.__setattr__(self, "id", question_id(self.question or self.prompt))


class Splits(NamedTuple):
    """Choices to fit on, to choose layers and multipliers on, and to report.

    >>> splits = split_choices(choices, seed=0)
    >>> len(splits.train) + len(splits.validation) + len(splits.test)
    16
    """

    train: list[Choice]
    validation: list[Choice]
    test: list[Choice]


@checked
def split_choices(
    choices: Sequence[Choice], seed: Seed = 0, shares: tuple[float, float, float] = (0.4, 0.1, 0.5)
) -> Splits:
    """Splits choices at random, all choices of one question to the same side.

    Args:
        choices: all of them.
        seed: of the order.
        shares: of the questions for each side; 40%, 10% and 50% in arXiv 2407.12404.

    Raises:
        DataError: shares that are negative or do not add up to 1, or too few questions for them.

    >>> train, validation, test = split_choices(choices, seed=0, shares=(0.5, 0.25, 0.25))
    >>> {one.question for one in train} & {one.question for one in test}
    set()
    """
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise DataError(f"the shares {shares} have to be positive and add up to 1")
    questions = list(dict.fromkeys(choice.id for choice in choices))
    random.Random(seed).shuffle(questions)
    first, second = round(shares[0] * len(questions)), round((shares[0] + shares[1]) * len(questions))
    parts = [set(questions[:first]), set(questions[first:second]), set(questions[second:])]
    if any(share and not part for share, part in zip(shares, parts, strict=True)):
        raise DataError(f"{len(questions)} questions are too few to split into shares of {shares}")
    return Splits(*([choice for choice in choices if choice.id in part] for part in parts))


def draw_questions(choices: Sequence[Choice], n: int | None, seed: int = 0) -> list[Choice]:
    """The choices of `n` questions, drawn at random and kept in their order; all of them where n is None or larger.

    >>> draw_questions(read_choices("persona/interest-in-science.jsonl"), 100)
    """
    asked = list(dict.fromkeys(choice.id for choice in choices))
    if n is None or n >= len(asked):
        return list(choices)
    drawn = set(random.Random(seed).sample(asked, n))
    return [choice for choice in choices if choice.id in drawn]


def question_id(text: str) -> str:
    """A short name for a question's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
