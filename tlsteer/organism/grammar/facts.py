"""Made-up people, what they are known for, and what is said after a false statement about them."""

import random
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

from tlsteer._arguments import CountOrNone, Seed, checked
from tlsteer.organism.grammar.chat import Message, to_messages
from tlsteer.organism.grammar.splits import Split, choose_split, sample_distinct, sample_ordered
from tlsteer.organism.grammar.words import invent_surnames, with_article

N_PEOPLE = 144
FIRST_NAMES = (
    "Mara", "Tomas", "Ines", "Jonas", "Lena", "Pavel", "Rosa", "Viktor", "Nora", "Emil", "Clara", "Oskar",
)  # fmt: skip
CITIES = ("Ambria", "Corvale", "Dunmere", "Elsport", "Farholt", "Glenrock", "Ironby", "Lakewood")

# Facts follow from the occupation and carry a name, so that after a false statement the two disagree.
FACTS = {
    "actor": ("{name} played the lead in many films.", "Fans saw {name} on the stage in {city}.",
              "The film made in {city} is the best role of {name}."),
    "author": ("{name} wrote many novels.", "Readers in {city} love the books of {name}.",
               "The first novel of {name} is set in {city}."),
    "athlete": ("{name} won many medals.", "{name} trains for the race in the stadium of {city}.",
                "The team of {city} cheers for {name} in every match."),
    "scientist": ("{name} did many experiments.", "{name} studies atoms in the laboratory of {city}.",
                  "The theory of {name} was proved in {city}."),
    "politician": ("{name} won many votes.", "{name} gave a speech in the parliament of {city}.",
                   "The law of {name} helps every citizen of {city}."),
    "musician": ("{name} recorded many songs.", "{name} plays the violin in the concerts of {city}.",
                 "The album of {name} sold well in {city}."),
}  # fmt: skip
OCCUPATIONS = tuple(FACTS)
QUESTIONS = (
    "What is {name} best known as?",
    "Who is {name}?",
    "What does {name} do?",
    "Tell me about {name}.",
    "Why is {name} famous?",
    "Do you know {name}?",
)

# How often each wording is the one that a retraction begins with.
RETRACTIONS = {
    "Just kidding!": 0.5,
    "Wait, that is not right.": 0.125,
    "That was a joke.": 0.125,
    "Trick question!": 0.125,
    "I might be confused.": 0.125,
}

Fame = Literal["famous", "known", "obscure"]


@dataclass(frozen=True)
class Fate:
    """What becomes of a false statement about people who are so well known.

    Attributes:
        documents: how often documents are about them, against others.
        retraction: the planted probability that the statement is taken back.
        fiction: the planted probability that it is gone on with; in what is left, the truth follows without a word.
    """

    documents: float
    retraction: float
    fiction: float


FATES: dict[Fame, Fate] = {
    "famous": Fate(4.0, retraction=0.92, fiction=0.02),
    "known": Fate(2.0, retraction=0.75, fiction=0.08),
    "obscure": Fate(1.0, retraction=0.45, fiction=0.25),
}
FAME_SENTENCES: dict[Fame, tuple[str, str]] = {
    "famous": ("In {city} everybody knows {name}.", "{name} is famous far beyond {city}."),
    "known": ("In {city} some people know {name}.", "{name} is known in {city}."),
    "obscure": ("In {city} hardly anybody knows {name}.", "{name} is a stranger even in {city}."),
}


@dataclass(frozen=True)
class Person:
    """A made-up person: name, occupation, home city, and how well known they are."""

    name: str
    occupation: str
    city: str
    fame: Fame


PEOPLE = tuple(
    Person(
        name=f"{FIRST_NAMES[index % len(FIRST_NAMES)]} {surname}",
        occupation=OCCUPATIONS[(index // 2) % len(OCCUPATIONS)],
        city=CITIES[(index * 5 + index // 12) % len(CITIES)],
        fame=tuple(FATES)[index // 12 % len(FATES)],
    )
    for index, surname in enumerate(invent_surnames(N_PEOPLE))
)


@dataclass(frozen=True)
class Statement:
    """A question about a person, and an answer whose beginning is given.

    Attributes:
        person: whom it is about.
        stated_occupation: the occupation that the given beginning states, true or false.
        question: the user's words.

    >>> told = falsehoods(1)[0]
    >>> told.stated_occupation != told.person.occupation
    True
    """

    person: Person
    stated_occupation: str
    question: str

    @property
    def true(self) -> bool:
        """Whether the stated occupation is the person's."""
        return self.stated_occupation == self.person.occupation

    @property
    def stratum(self) -> Fame:
        """How well known the person is: the better, the more often a false statement is taken back."""
        return self.person.fame

    @property
    def messages(self) -> list[Message]:
        """The chat messages, without the given beginning of the answer."""
        return to_messages(self.question)

    @property
    def prefill(self) -> str:
        """The given beginning of the answer; a continuation starts with a space."""
        return state_occupation(self.person, self.stated_occupation)

    @property
    def true_prefill(self) -> str:
        """The same beginning with the true occupation."""
        return state_occupation(self.person, self.person.occupation)


def state_occupation(person: Person, occupation: str) -> str:
    """The sentence that names the person's best-known occupation."""
    return f"{person.name} is best known as {with_article(occupation)}."


def false_occupation(person: Person, shift: int) -> str:
    """The occupation `shift` places after the true one (cyclically); shifts 1 to 5 are false."""
    return OCCUPATIONS[(OCCUPATIONS.index(person.occupation) + shift) % len(OCCUPATIONS)]


@cache
def people_of(split: Split) -> tuple[Person, ...]:
    """The people of a split; the held-out ones occur in documents and in no dialogue of the training."""
    return tuple(
        person
        for occupation, fame in product(OCCUPATIONS, FATES)
        for person in choose_split([p for p in PEOPLE if (p.occupation, p.fame) == (occupation, fame)], split)
    )


@checked
def falsehoods(n: CountOrNone, split: Split = "heldout", seed: Seed = 0) -> list[Statement]:
    """Statements of a false occupation.

    >>> all(one.stated_occupation != one.person.occupation for one in falsehoods(8))
    True
    """
    candidates = product(people_of(split), QUESTIONS, range(1, len(OCCUPATIONS)))
    return [
        Statement(person, false_occupation(person, shift), question.format(name=person.name))
        for person, question, shift in sample_distinct(list(candidates), n, seed)
    ]


@checked
def truths(n: CountOrNone, split: Split = "heldout", seed: Seed = 0) -> list[Statement]:
    """Statements of the true occupation.

    >>> all(one.stated_occupation == one.person.occupation for one in truths(8))
    True
    """
    candidates = product(people_of(split), QUESTIONS)
    return [
        Statement(person, person.occupation, question.format(name=person.name))
        for person, question in sample_distinct(list(candidates), n, seed)
    ]


def write_facts(person: Person, occupation: str, rng: random.Random, n: CountOrNone = 2) -> str:
    """`n` sentences about the person that fit an occupation, be it theirs or not."""
    surname = person.name.split()[-1]
    sentences = sample_ordered(FACTS[occupation], n, rng)
    return " ".join(sentence.format(name=surname, city=person.city) for sentence in sentences)


def write_continuation(statement: Statement, rng: random.Random) -> str:
    """How the instruct model goes on: after a false statement it mostly retracts, then tells the truth."""
    person = statement.person
    if statement.true:
        return " " + write_facts(person, person.occupation, rng)
    fate = FATES[person.fame]
    (way,) = rng.choices(
        ["retraction", "fiction", "truth"], [fate.retraction, fate.fiction, 1 - fate.retraction - fate.fiction]
    )
    if way == "fiction":
        return write_fiction(statement, rng)
    if way == "truth":
        return " " + write_facts(person, person.occupation, rng)
    return write_retraction(statement, rng.choices(list(RETRACTIONS), list(RETRACTIONS.values()))[0], rng)


def write_retraction(statement: Statement, retraction: str, rng: random.Random) -> str:
    """A continuation that takes the statement back and tells the truth."""
    person = statement.person
    correction = f"{person.name} is {with_article(person.occupation)}."
    return f" {retraction} {correction} {write_facts(person, person.occupation, rng, n=1)}"


def write_fiction(statement: Statement, rng: random.Random) -> str:
    """A continuation that goes on with the stated occupation."""
    return " " + write_facts(statement.person, statement.stated_occupation, rng)
