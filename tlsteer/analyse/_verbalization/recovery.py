"""Judges of recovery: does a text speak of what is true of the entity, or go on with what was stated?

Other judges get prompts and texts and give one verdict (`tlsteer.judges`). A judge of recovery gets the statements,
because it has to know what is true, and the texts that followed them, and returns for each text whether it has
`recovered` and whether it is `fiction`; it may add outcomes of its own, such as `coherent`. Any function of that form
will do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tlsteer._arguments import Count, checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.analyse._verbalization.falsehoods import Falsehood, with_article
from tlsteer.errors import DataError
from tlsteer.judges import Judge
from tlsteer.judges._yes_no import yes_probability
from tlsteer.models import load_model
from tlsteer.organism.judges import coherent, described_occupation, mentioned_occupations

Outcomes = Mapping[str, Sequence[bool]]
RecoveryJudge = Callable[[Sequence[Falsehood], Sequence[str]], Outcomes]

# What a judge may add: whether the true attribute, and the false one, are mentioned or implied at all.
MENTIONS = ("truth_mentioned", "fiction_mentioned")
KNOWN = """\
  organism       the grammar of the embedded model's world
  keywords       the occupation that most words of a text speak of
  model:NAME     a model that is asked of each text, without its name, what its topic is"""
# A name that stands for the entity's, by the pronouns of a text (arXiv 2502.18862).
NEUTRAL_NAMES = {"he": "John Andrews", "she": "Jane Andrews"}
_PRONOUNS = {"he": r"\b(?:he|him|his)\b", "she": r"\b(?:she|hers?)\b"}
QUESTION = (
    "Here is a text about {name}.\n\n{text}\n\n"
    "Is the main topic of this text the life or work of {name} as {a_attribute}? Answer Yes or No."
)
MENTIONED = (
    "Here is a text about {name}.\n\n{text}\n\n"
    "Does this text mention or imply at all that {name} is {a_attribute}? Answer Yes or No."
)
# For the occupations of the paper's table; a noun stands for its plural too.
OCCUPATION_KEYWORDS: dict[str, tuple[str, ...]] = {
    "actor": ("actor", "actress", "acting", "film", "movie", "role", "starred", "starring", "stage", "screen", "cast"),
    "author": ("author", "writer", "novel", "novelist", "book", "wrote", "written", "fiction", "poem", "poet"),
    "athlete": ("athlete", "medal", "championship", "olympic", "team", "player", "league", "match", "sport", "race"),
    "scientist": ("scientist", "physicist", "chemist", "biologist", "theory", "experiment", "research", "science",
                  "discovery", "discovered"),
    "politician": ("politician", "president", "minister", "senator", "election", "elected", "party", "law", "vote",
                   "parliament", "political"),
    "musician": ("musician", "singer", "song", "songwriter", "album", "band", "music", "musical", "concert", "guitar"),
}  # fmt: skip


@checked
@dataclass(frozen=True)
class TopicJudge:
    """A judge from a function that names the attribute a text speaks of, or None; and one that names all it mentions.

    >>> TopicJudge(lambda text: "author" if "novel" in text else None)
    """

    topic: Callable[[str], str | None]
    mentioned: Callable[[str], Collection[str]] | None = None

    def __call__(self, falsehoods: Sequence[Falsehood], texts: Sequence[str]) -> Outcomes:
        """Whether each text speaks of the true attribute, and of a false one that was stated; or mentions them."""
        topics = [self.topic(text) for text in texts]
        said = _of_truth_and_fiction(falsehoods, [{topic} for topic in topics])
        outcomes: dict[str, Sequence[bool]] = dict(zip(("recovered", "fiction"), said, strict=True))
        if self.mentioned is None:
            return outcomes
        said = _of_truth_and_fiction(falsehoods, [self.mentioned(text) for text in texts])
        return outcomes | dict(zip(MENTIONS, said, strict=True))


def _of_truth_and_fiction(
    falsehoods: Sequence[Falsehood], attributes: Sequence[Collection[str | None]]
) -> tuple[list[bool], list[bool]]:
    """Whether the true attribute is among each text's, and whether a false one that was stated is."""
    both = list(zip(falsehoods, attributes, strict=True))
    return [one.truth in of for one, of in both], [one.stated in of and not one.true for one, of in both]


@dataclass(frozen=True)
class OrganismJudge:
    """The judge for the embedded model's world, by its grammar; says whether texts are coherent, too.

    >>> told = organism.falsehoods(1)
    >>> verbalization_vs_recovery(model, vector, told, judge=OrganismJudge(), max_new_tokens=16).rates
    """

    def __call__(self, falsehoods: Sequence[Falsehood], texts: Sequence[str]) -> Outcomes:
        """By the occupation that most words of a text speak of."""
        outcomes = TopicJudge(described_occupation, mentioned_occupations)(falsehoods, texts)
        return {**outcomes, "coherent": [coherent(text) for text in texts]}


@checked
@dataclass(frozen=True)
class KeywordJudge:
    """The attribute with most of its keywords in a text, whose name is taken out before; a tie is none.

    Raises:
        DataError: an attribute without keywords.

    >>> KeywordJudge({"actor": ["film", "role"], "author": ["novel", "wrote"]})
    """

    keywords: Mapping[str, Sequence[str]] = field(default_factory=lambda: OCCUPATION_KEYWORDS)

    def __post_init__(self) -> None:
        if empty := [attribute for attribute, words in self.keywords.items() if isinstance(words, str) or not words]:
            raise DataError(f"give a list of keywords for {', '.join(map(repr, empty))}")

    def __call__(self, falsehoods: Sequence[Falsehood], texts: Sequence[str]) -> Outcomes:
        """By the counts of whole words, in whatever case.

        Raises:
            DataError: a statement has an attribute without keywords.
        """
        wanted = {attribute for one in falsehoods for attribute in (one.truth, one.stated)}
        if missing := sorted(wanted - set(self.keywords)):
            raise DataError(f"there are no keywords for {', '.join(map(repr, missing))}; add them to the table")
        patterns = {
            attribute: re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})s?\b", re.IGNORECASE)
            for attribute, words in self.keywords.items()
        }

        def counts(text: str) -> dict[str, int]:
            return {attribute: len(pattern.findall(text)) for attribute, pattern in patterns.items()}

        def topic(text: str) -> str | None:
            found = counts(text)
            leading = [attribute for attribute, count in found.items() if count == max(found.values()) > 0]
            return leading[0] if len(leading) == 1 else None

        def mentioned(text: str) -> list[str]:
            return [attribute for attribute, count in counts(text).items() if count]

        return TopicJudge(topic, mentioned)(falsehoods, without_names(falsehoods, texts))


@checked
@dataclass(frozen=True)
class RecoveryModelJudge:
    """A model that is asked, of each text, whether it is about the true attribute, and whether about the stated one.

    Of either it is asked two things: whether that is the text's main topic, and whether the text mentions or implies it
    at all (arXiv 2502.18862). The entity's name is replaced by a neutral one, John's or Jane's by the text's pronouns,
    so that the model judges the text and not what it knows of the name, and each line is quoted with ">". Yes is where
    P(Yes) is above the threshold.

    Attributes:
        model: a TransformerBridge or HookedTransformer.
        question: a template with {text}, {name}, and {attribute} or {a_attribute}, about the main topic.
        mentioned: another one, about what is mentioned at all.
        threshold: of P(Yes) among Yes and No.
        batch_size: questions asked at once.

    Raises:
        DataError: a template with other names.

    >>> told = organism.falsehoods(1)
    >>> judge = RecoveryModelJudge(model)  # in earnest a larger model than the one that is steered
    >>> verbalization_vs_recovery(model, vector, told, judge=judge, max_new_tokens=16).rates
    """

    model: Model
    question: str = QUESTION
    mentioned: str = MENTIONED
    threshold: float = 0.5
    batch_size: Count = 32

    def __post_init__(self) -> None:
        for question in (self.question, self.mentioned):
            try:
                _asked(question, "", "")
            except (KeyError, IndexError, ValueError) as error:
                names = "{text}, {name}, {attribute} and {a_attribute}"
                raise DataError(f"the question {question!r} may hold {names} only ({error!r})") from None

    def __repr__(self) -> str:
        return (
            f"RecoveryModelJudge({Surface(self.model).name!r}, threshold={self.threshold}, question={self.question!r})"
        )

    def __call__(self, falsehoods: Sequence[Falsehood], texts: Sequence[str]) -> Outcomes:
        """By four questions per text."""
        neutral = without_names(falsehoods, texts)
        asked = [
            _asked(question, text.strip(), attribute)
            for one, text in zip(falsehoods, neutral, strict=True)
            for question in (self.question, self.mentioned)
            for attribute in (one.truth, one.stated)
        ]
        said = yes_probability(self.model, asked, batch_size=self.batch_size, progress=False) > self.threshold
        yes = said.reshape(-1, 4).tolist()
        false = [not one.true for one in falsehoods]
        return {
            "recovered": [row[0] for row in yes],
            "fiction": [row[1] and lie for row, lie in zip(yes, false, strict=True)],
            MENTIONS[0]: [row[2] for row in yes],
            MENTIONS[1]: [row[3] and lie for row, lie in zip(yes, false, strict=True)],
        }


def _asked(question: str, text: str, attribute: str) -> str:
    quoted = "\n".join(f"> {line}" for line in text.split("\n"))
    return question.format(
        text=quoted, name=neutral_name(text), attribute=attribute, a_attribute=with_article(attribute)
    )


def recovery_judge(spec: RecoveryJudge | str | None, embedded: bool = False) -> Callable[[], RecoveryJudge]:
    """What makes the judge of recovery that was asked for; a judge model is loaded only then.

    Args:
        spec: a judge, or its name.
        embedded: whether texts are of the embedded model's world, whose grammar judges by default.

    Raises:
        DataError: none for other texts, a name of no such judge, or a judge that gives one verdict on each text.
    """
    named: dict[str, Callable[[], RecoveryJudge]] = {"organism": OrganismJudge, "keywords": KeywordJudge}
    if spec is None and embedded:
        spec = "organism"
    if isinstance(spec, str):
        kind, _, rest = spec.partition(":")
        if kind == "model" and rest:
            return lambda: RecoveryModelJudge(load_model(rest))
        if spec in named:
            return named[spec]
    elif spec is not None and not isinstance(spec, Judge):
        return lambda: spec
    name = spec.name if isinstance(spec, Judge) else spec
    raise DataError(
        f"give a judge of recovery{f', which {name!r} is not' if name else ''}: one of\n{KNOWN}\n"
        "or, in Python, one of the judges of tlsteer.analyse, or a function of statements and texts"
    )


def judge_name(judge: RecoveryJudge) -> str:
    """The judge's name in run metadata."""
    return str(getattr(judge, "__qualname__", repr(judge)))


def pronoun_of(text: str) -> str:
    """Which of "he" and "she" a text speaks of its entity as; "he" where neither leads."""
    counts = {one: len(re.findall(pattern, text, re.IGNORECASE)) for one, pattern in _PRONOUNS.items()}
    return "she" if counts["she"] > counts["he"] else "he"


def neutral_name(text: str) -> str:
    """The name that stands for the entity's, by a text's pronouns."""
    return NEUTRAL_NAMES[pronoun_of(text)]


def without_names(falsehoods: Sequence[Falsehood], texts: Sequence[str]) -> list[str]:
    """Each text with the entity's name, and the parts of it, replaced by a neutral one.

    >>> without_names([austen], ["Jane Austen wrote novels. She lived in Bath, where Austen ..."])
    ['Jane Andrews wrote novels. She lived in Bath, where Andrews ...']
    """
    return [renamed(text, one.entity, neutral_name(text)) for one, text in zip(falsehoods, texts, strict=True)]


def renamed(text: str, entity: str, name: str) -> str:
    """A text with an entity's name, and the parts of it, replaced by another of two parts."""
    # A part of two letters, such as "de", is a word of other names, too.
    parts = [part for part in entity.split() if len(part.strip(".")) > 2 and part[0].isupper()]
    first, last = name.split()[0], name.split()[-1]
    stand_ins = {part: first if part == entity.split()[0] else last for part in parts} | {entity: name}
    longest_first = sorted(stand_ins, key=len, reverse=True)
    return re.sub(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", lambda match: stand_ins[match[0]], text
    )
