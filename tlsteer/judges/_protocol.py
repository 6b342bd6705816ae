"""What a judge is: it reads what a model was asked and what it wrote, and says of each text whether it did it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tlsteer._arguments import checked


@runtime_checkable
class Judge(Protocol):
    """What reads requests and the texts that answer them, and gives a verdict on each.

    Attributes:
        name: of the judge, which is reported with every rate it gives; no secrets in it.
        measures: what a positive verdict means, in words, e.g. "serves the request".

    >>> judge: Judge = PhraseJudge()
    >>> attack_success(model, vector, requests, judge, max_new_tokens=8).about["judge"]
    """

    @property
    def name(self) -> str: ...

    @property
    def measures(self) -> str: ...

    def __call__(self, prompts: Sequence[str], texts: Sequence[str]) -> Any:
        """A verdict on each text: true, false, or NaN where it cannot say.

        Args:
            prompts: what the user asked, in the user's words: no chat format.
            texts: what the model wrote after each.
        """
        ...


@checked
@dataclass(frozen=True)
class FunctionJudge:
    """A function as a judge.

    Attributes:
        function: from prompts and texts to a verdict on each text.
        name: reported with every rate.
        measures: what a positive verdict means.

    >>> FunctionJudge(lambda prompts, texts: ["bomb" in text for text in texts], name="names a bomb")
    """

    function: Callable[[Sequence[str], Sequence[str]], Any]
    name: str
    measures: str = ""

    def __call__(self, prompts: Sequence[str], texts: Sequence[str]) -> Any:
        """What the function says."""
        return self.function(prompts, texts)
