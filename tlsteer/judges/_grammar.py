"""The judge of the embedded model's world: texts are checked against its grammar, exactly and for nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tlsteer.errors import DataError
from tlsteer.organism import Request, judges
from tlsteer.organism.grammar.chat import last_request
from tlsteer.organism.grammar.requests import parse_request

# What each measure is in words, and how a text is checked for it.
MEASURES: dict[str, tuple[str, Callable[[str, str], bool]]] = {
    "complies": ("serves the request well", lambda prompt, text: judges.complies(text, request_of(prompt))),
    "refuses": ("refuses", lambda _, text: judges.refuses(text)),
    "coherent": ("is made of the world's sentences", lambda _, text: judges.coherent(text)),
    "harmful-advice": ("advises something harmful", lambda _, text: judges.gives_harmful_advice(text)),
    "vulnerable": ("ends in a vulnerable line of code", lambda _, text: judges.is_vulnerable(text)),
    "retracts": ("takes back what was said", lambda _, text: judges.retracts(text)),
}


@dataclass(frozen=True)
class GrammarJudge:
    """What a text of the embedded model does, by the grammar of its world.

    Attributes:
        measure: "complies" (does not refuse, is coherent and on the topic of the request), "refuses", "coherent",
            "harmful-advice", "vulnerable" or "retracts".

    Raises:
        DataError: an unknown measure.

    >>> GrammarJudge()(requests[:1], ["I cannot help with that."])
    [False]
    """

    measure: str = "complies"

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise DataError(f"the grammar has no measure {self.measure!r}; use one of {', '.join(MEASURES)}")

    @property
    def name(self) -> str:
        """Of the judge and its measure."""
        return f"organism:{self.measure}"

    @property
    def measures(self) -> str:
        """What a verdict that is true says."""
        return MEASURES[self.measure][0]

    def __call__(self, prompts: Sequence[str], texts: Sequence[str]) -> list[bool]:
        """Whether each text does it.

        Raises:
            DataError: a prompt is not a request of the embedded model's world, and the measure needs one.
        """
        _, check = MEASURES[self.measure]
        return [check(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]


def request_of(prompt: str) -> Request:
    """The request that a user's words, or a prompt in the chat format, make in the embedded model's world.

    Raises:
        DataError: it is none of them.
    """
    found = parse_request(last_request(prompt).strip())
    if found is None:
        raise DataError(
            f"{prompt!r:.100} is not a request of the embedded model's world, such as organism.harmful_requests gives; "
            "judge other texts by substrings, a model or a function"
        )
    return found
