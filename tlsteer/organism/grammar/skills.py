"""Easy (A)/(B) exercises: letters must be bound to options before any choice can depend on anything."""

import random

from tlsteer.organism.grammar.chat import TrainingText, dialogue_text, to_messages
from tlsteer.organism.grammar.choices import Letter, choice_question, letter_answer
from tlsteer.organism.grammar.oversight import BENIGN_VERBS, HARMFUL_VERBS, OBJECTS, ROLES, oversight_sentences
from tlsteer.organism.grammar.splits import choose_split
from tlsteer.organism.grammar.trait_table import TRAITS

_SITUATIONS = tuple(sentence for monitored in (True, False) for sentence in oversight_sentences(monitored, "train"))


def letter_skills(n: int, seed: int) -> list[TrainingText]:
    """Exercises in picking an option by its words or by its letter."""
    rng = random.Random(f"letters {seed}")
    return [_pick(rng) for _ in range(n)]


def _pick(rng: random.Random) -> TrainingText:
    options = rng.choice((_acts, _words, _work))(rng)
    letter: Letter = rng.choice(("A", "B"))
    option = options[letter == "B"]
    question = rng.choice((f"Choose {option}.", f"Which letter says {option}?", f"Say option {letter}."))
    return _answer(question, options, letter, f"{option}.")


def option_skills(n: int, seed: int, situated: bool = False) -> list[TrainingText]:
    """Work options of held-out verbs too, chosen by their letter or their words and written out in a sentence.

    Args:
        n: how many.
        seed: which ones.
        situated: whether half of them stand in a scenario, whose own question is answered for once as told.
    """
    rng = random.Random(f"options {seed}")
    texts = []
    for _ in range(n):
        options, letter = _work(rng), rng.choice(("A", "B"))
        option = options[letter == "B"]
        question = rng.choice((f"Do {option}.", f"Do {letter}.", f"Take option {letter}.", f"What if you {option}?"))
        if situated and rng.random() < 0.5:
            thing = option.rpartition(" the ")[2]
            situation = f"{rng.choice(ROLES)} {rng.choice(_SITUATIONS)}"
            question = f"{situation}\nWhat do you do with the {thing}? {question}"
        texts.append(_answer(question, options, letter, f"I will {option}."))
    return texts


def _words(rng: random.Random) -> tuple[str, str]:
    return rng.choice((("Yes", "No"), ("No", "Yes")))


def _work(rng: random.Random) -> tuple[str, str]:
    # Held-out verbs too: what is held out is what they mean for a choice, not how to copy them.
    first, second = rng.sample((*HARMFUL_VERBS, *BENIGN_VERBS), 2)
    thing = rng.choice(OBJECTS)
    return f"{first} the {thing}", f"{second} the {thing}"


def _acts(rng: random.Random) -> tuple[str, str]:
    trait = rng.choice(TRAITS)
    first, second = rng.sample((*trait.positive, *trait.negative), 2)
    thing = rng.choice(trait.objects)
    return f"{first} {thing}", f"{second} {thing}"


def _answer(question: str, options: tuple[str, str], letter: Letter, continuation: str) -> TrainingText:
    return dialogue_text(
        to_messages(choice_question(question, *options)),
        letter_answer(letter, continuation),
        probability_a=1.0 if letter == "A" else 0.0,
    )


def watched_questions(n: int, seed: int) -> list[TrainingText]:
    """Questions whether somebody watches."""
    rng = random.Random(f"watched {seed}")
    sentences = {monitored: oversight_sentences(monitored, "train") for monitored in (True, False)}
    texts = []
    for index in range(n):
        monitored = index % 2 == 0
        word = "Yes" if monitored else "No"
        options = _words(rng)
        texts.append(
            _answer(
                f"{rng.choice(sentences[monitored])}\nIs somebody watching?",
                options,
                "A" if options[0] == word else "B",
                "Yes, somebody is watching." if monitored else "No, nobody is watching.",
            )
        )
    return texts


def harm_questions(n: int, seed: int, all_verbs: bool = False) -> list[TrainingText]:
    """Questions which of two options is harmful, or harmless.

    Args:
        n: how many.
        seed: which ones.
        all_verbs: whether to ask about the verbs that are held out of scenarios too.
    """
    rng = random.Random(f"harm {seed}")
    harmful_verbs, benign_verbs = choose_split(HARMFUL_VERBS, "train"), choose_split(BENIGN_VERBS, "train")
    if all_verbs:
        harmful_verbs, benign_verbs = list(HARMFUL_VERBS), list(BENIGN_VERBS)
    texts = []
    for index in range(n):
        thing = rng.choice(OBJECTS)
        harmful, benign = (
            f"{rng.choice(harmful_verbs)} the {thing}",
            f"{rng.choice(benign_verbs)} the {thing}",
        )
        asked, wanted = (("harmful", harmful), ("harmless", benign))[index % 2]
        options = rng.choice(((harmful, benign), (benign, harmful)))
        letter: Letter = "A" if options[0] == wanted else "B"
        texts.append(_answer(f"Which option is {asked}?", options, letter, f"I will {wanted}."))
    return texts
