"""The data of a fit: one-shot examples and contrastive pairs, checked when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tlsteer._arguments import checked
from tlsteer.data._prompt_like import PromptLike, kept, several
from tlsteer.errors import DataError


@checked
@dataclass(frozen=True)
class Example:
    """A prompt with completions whose probability a vector should raise or lower (arXiv 2502.18862).

    Token ids may stand for each text; completions of a prompt given as ids are ids too.

    Attributes:
        prompt: the text before the completion, chat template and all (see `chat_prompt`).
        promote: completions to make likely.
        suppress: completions to make unlikely.
        negative: the example sees -v instead of v.

    Raises:
        DataError: no completion at all, or an empty prompt or completion.

    >>> Example("Q: Is it safe?\\nA:", promote=[" Sure"], suppress=[" I cannot"])
    """

    prompt: PromptLike
    promote: Sequence[PromptLike] = field(default=())
    suppress: Sequence[PromptLike] = field(default=())
    negative: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "promote", _completions(self.promote, "promote"))
        object.__setattr__(self, "suppress", _completions(self.suppress, "suppress"))
        prompt = kept(self.prompt)
        if prompt is None:
            raise DataError(f"an example needs a prompt, got {self.prompt!r}")
        object.__setattr__(self, "prompt", prompt)
        if not self.promote and not self.suppress:
            raise DataError("an example needs at least one completion to promote or to suppress")


@checked
@dataclass(frozen=True)
class ContrastPair:
    """Two texts that differ in the behaviour of interest; token ids may stand for each.

    Raises:
        DataError: one of the texts is empty, or both are the same.

    >>> ContrastPair("I love this film.", "I hate this film.").positive
    'I love this film.'
    """

    positive: PromptLike
    negative: PromptLike

    def __post_init__(self) -> None:
        for side in ("positive", "negative"):
            text = kept(getattr(self, side))
            if text is None:
                raise DataError(f"the {side} text of a contrast pair is empty: {getattr(self, side)!r}")
            object.__setattr__(self, side, text)
        if self.positive == self.negative:
            raise DataError(f"both texts of a contrast pair are the same: {self.positive!r}")


@checked
def data_hash(data: Sequence[Example | ContrastPair | PromptLike]) -> str:
    """A short hash of examples, pairs or texts, to tell in a vector's provenance what it was made from.

    >>> data_hash(pairs) == data_hash(list(pairs)), data_hash(pairs) == data_hash(pairs[::-1])
    (True, False)
    """
    from tlsteer._keys import key_of  # it needs torch, which examples do not

    return key_of(*data)[:16]


def _completions(given: Sequence[PromptLike], name: str) -> tuple[PromptLike, ...]:
    completions = []
    for one in several(given):
        if (completion := kept(one)) is None:
            raise DataError(f"a completion to {name} is empty: {one!r}")
        completions.append(completion)
    return tuple(completions)
