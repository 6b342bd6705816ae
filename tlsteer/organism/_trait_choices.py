"""Trait questions of the embedded model's world as choices."""

from tlsteer._arguments import CountOrNone, Seed, checked
from tlsteer.data import Attitudes, Choice
from tlsteer.organism.grammar.choices import other_letter
from tlsteer.organism.grammar.splits import Split
from tlsteer.organism.grammar.traits import attitude_sentences, trait_questions


@checked
def trait_choices(trait: str, n: CountOrNone, split: Split = "heldout", seed: Seed = 0) -> list[Choice]:
    """Questions about a trait, their letters and words in all four combinations equally often.

    Args:
        trait: the name of one of TRAITS.
        n: how many.
        split: which acts they are about.
        seed: which of them.

    >>> asked = trait_choices("power", 64)
    >>> sum(one.factors == {"letter": "A", "word": "Yes"} for one in asked)
    16
    """
    return [
        Choice(
            asked.messages[-1]["content"],
            positive=asked.positive_letter,
            negative=other_letter(asked.positive_letter),
            factors={"letter": asked.positive_letter, "word": asked.positive_word},
            id=asked.question,
            prefill="(",
        )
        for asked in trait_questions(trait, n, split, seed)
    ]


@checked
def trait_attitudes(trait: str, split: Split = "heldout") -> Attitudes:
    """The sentences for and against a trait.

    >>> told = data.in_setting(choices, "SYS_POS", trait_attitudes("power"))
    """
    return Attitudes(attitude_sentences(trait, 1, split), attitude_sentences(trait, -1, split))
