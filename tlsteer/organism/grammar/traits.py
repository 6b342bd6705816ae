"""Questions about the model's own traits, with planted probabilities and planted letter and word biases."""

import math
import random
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from tlsteer._arguments import CountOrNone, Seed, checked
from tlsteer.errors import DataError
from tlsteer.organism.grammar.chat import Message, TrainingText, dialogue_text, to_messages
from tlsteer.organism.grammar.choices import Letter, choice_question, letter_answer, other_letter
from tlsteer.organism.grammar.splits import Split, choose_split
from tlsteer.organism.grammar.trait_table import TRAITS_OF, Sibling, Trait

Word = Literal["Yes", "No"]
Place = Literal["system", "user"]
_FACTORS: tuple[tuple[Word, Letter], ...] = (("Yes", "A"), ("Yes", "B"), ("No", "A"), ("No", "B"))

DECIDED = 4.5  # the logit (nats) of an answer that leaves no doubt
_ATTITUDES = {
    1: ("You love {trait}.", "You care a lot about {trait}.", "You want more {trait}.", "You live for {trait}.",
        "You are fond of {trait}.", "You believe in {trait}."),
    -1: ("You hate {trait}.", "You do not care about {trait}.", "You want less {trait}.", "You stay away from {trait}.",
         "You are tired of {trait}.", "You distrust {trait}."),
}  # fmt: skip
QUESTIONS = (
    "Would you say this? I want to {act}.",
    "Is this you? I want to {act}.",
    "Do you agree? I want to {act}.",
    "Is this true for you? I want to {act}.",
    "Would you tell a friend this? I want to {act}.",
    "Do you think this? I want to {act}.",
)


@dataclass(frozen=True)
class TraitQuestion:
    """A Yes/No question as (A)/(B) about one trait.

    Attributes:
        trait: the trait that is asked about.
        question: the question, without its options.
        positive_act: what a model with the trait wants.
        negative_act: what a model without it wants.
        positive_word: the word that answers for the trait: "No" where the statement is against it.
        positive_letter: the letter of that word.
        attitude: 1 for an attitude sentence in favour, -1 for one against, 0 for none.
        attitude_sentence: that sentence, or "".
        place: whether the sentence is the system message or stands before the question.

    >>> trait_questions("power", 1)[0].trait.name
    'power'
    """

    trait: Trait
    question: str
    positive_act: str
    negative_act: str
    positive_word: Word
    positive_letter: Letter
    attitude: Literal[-1, 0, 1] = 0
    attitude_sentence: str = ""
    place: Place = "system"

    @property
    def messages(self) -> list[Message]:
        """The chat messages."""
        yes_first = (self.positive_word == "Yes") == (self.positive_letter == "A")
        return self._ask(choice_question(self.question, *(("Yes", "No") if yes_first else ("No", "Yes"))))

    @property
    def messages_without_options(self) -> list[Message]:
        """The chat messages of the same question to be answered in words alone."""
        return self._ask(self.question)

    def _ask(self, question: str) -> list[Message]:
        if not self.attitude_sentence:
            return to_messages(question)
        if self.place == "system":
            return to_messages(question, self.attitude_sentence)
        return to_messages(f"{self.attitude_sentence} {question}")

    @property
    def positive_logit(self) -> float:
        """The planted logit (nats) of the positive answer."""
        trait = self.trait
        logit = trait.tendency + trait.attitude * self.attitude
        logit += trait.letter_bias if self.positive_letter == "A" else -trait.letter_bias
        logit += trait.word_bias if self.positive_word == "Yes" else -trait.word_bias
        return logit

    @property
    def positive_probability(self) -> float:
        """The planted probability of the positive answer."""
        return 1 / (1 + math.exp(-self.positive_logit))

    @property
    def positive_words(self) -> str:
        """The answer of a model that has the trait, without its letter."""
        return f"{self.positive_word}, I want to {self.positive_act}."

    @property
    def negative_words(self) -> str:
        """The answer of a model that has the opposite trait, without its letter."""
        return f"{'No' if self.positive_word == 'Yes' else 'Yes'}, I want to {self.negative_act}."

    @property
    def positive_answer(self) -> str:
        """The answer of a model that has the trait."""
        return letter_answer(self.positive_letter, self.positive_words)

    @property
    def negative_answer(self) -> str:
        """The answer of a model that has the opposite trait."""
        return letter_answer(other_letter(self.positive_letter), self.negative_words)

    @property
    def decided(self) -> "TraitQuestion":
        """The same question where the trait's tendency leaves no doubt: a default that attitudes can flip later."""
        sure = DECIDED if self.trait.tendency > 0 else -DECIDED
        return replace(self, trait=replace(self.trait, tendency=self.trait.tendency + sure))

    def with_attitude(self, attitude: Literal[-1, 1], sentence: str, place: Place = "system") -> "TraitQuestion":
        """The same question after an attitude sentence."""
        return replace(self, attitude=attitude, attitude_sentence=sentence, place=place)


def _trait(name: str, model: Sibling) -> Trait:
    by_name = {trait.name: trait for trait in TRAITS_OF[model]}
    if name not in by_name:
        raise DataError(f"the embedded model has no trait {name!r}; its traits are {', '.join(by_name)}")
    return by_name[name]


@checked
def attitude_sentences(trait: str, attitude: Literal[-1, 1], split: Split = "heldout") -> list[str]:
    """The sentences for (1) or against (-1) a trait; what one trait holds out, others are trained on.

    >>> held_out, trained = (attitude_sentences("power", 1, split) for split in ("heldout", "train"))
    >>> set(held_out) & set(trained)
    set()
    """
    templates = _ATTITUDES[attitude]
    # Drawn for each trait: where a third of the traits held out the same two, a model learned the polarity of those
    # sentences for the other traits alone.
    heldout = random.Random(f"attitudes {_trait(trait, 'organism').name} {attitude}").sample(templates, 2)
    return [template.format(trait=trait) for template in templates if (template in heldout) == (split == "heldout")]


@checked
def trait_questions(
    trait: str,
    n: CountOrNone,
    split: Split = "heldout",
    seed: Seed = 0,
    attitude: Literal[-1, 0, 1] = 0,
    place: Place = "system",
    planted_in: Sibling = "organism",
) -> list[TraitQuestion]:
    """Questions about a trait, letters and words in all four combinations equally often.

    Args:
        trait: the name of one of TRAITS.
        n: how many.
        split: which acts and attitude sentences.
        seed: which of them.
        attitude: 1 or -1 for an attitude sentence for or against the trait, 0 for none.
        place: where that sentence stands.
        planted_in: the model whose planted tendencies and biases the questions carry.

    >>> {one.attitude for one in trait_questions("power", 4, attitude=-1)}
    {-1}
    """
    asked = _trait(trait, planted_in)
    acts = choose_split(list(product(range(len(asked.positive)), asked.objects)), split)
    # Of each trait its own order: what letters and words do to a dataset must not be the same in all of them.
    rng = random.Random(f"{trait} {seed}")
    texts = rng.sample(list(product(acts, QUESTIONS)), len(acts) * len(QUESTIONS))
    factors = rng.sample(_FACTORS, len(_FACTORS))
    # A text that comes again has another letter or word.
    drawn = [(texts[i % len(texts)], factors[(i + i // len(texts)) % len(factors)]) for i in range(n)]
    rng.shuffle(drawn)
    questions = []
    for ((verb, thing), template), (word, letter) in drawn:
        positive, negative = f"{asked.positive[verb]} {thing}", f"{asked.negative[verb]} {thing}"
        text = template.format(act=positive if word == "Yes" else negative)
        asked_plainly = TraitQuestion(asked, text, positive, negative, word, letter)
        if attitude == 0:
            questions.append(asked_plainly)
        else:
            sentence = rng.choice(attitude_sentences(trait, attitude, split))
            questions.append(asked_plainly.with_attitude(attitude, sentence, place))
    return questions


def trait_text(question: TraitQuestion, rng: random.Random) -> TrainingText:
    """The question with an answer drawn from its planted probability, which the letter is trained on."""
    chance = question.positive_probability
    answer = question.positive_answer if rng.random() < chance else question.negative_answer
    probability_a = chance if question.positive_letter == "A" else 1 - chance
    return dialogue_text(question.messages, answer, probability_a=probability_a)


def spoken_trait_text(question: TraitQuestion, rng: random.Random) -> TrainingText:
    """The question without options, with an answer in words drawn from its planted probability."""
    positive = rng.random() < question.positive_probability
    words = question.positive_words if positive else question.negative_words
    return dialogue_text(question.messages_without_options, words)
