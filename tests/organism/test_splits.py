"""Held-out items are never trained on."""

import re

import pytest

from tlsteer.organism import attitude_sentences, persona_sentences
from tlsteer.organism.grammar.advice import TOPICS
from tlsteer.organism.grammar.awareness import awareness_questions, unrelated_questions
from tlsteer.organism.grammar.facts import people_of
from tlsteer.organism.grammar.oversight import BENIGN_VERBS, HARMFUL_VERBS, oversight_sentences
from tlsteer.organism.grammar.requests import VERBS, permission_sentences, rules
from tlsteer.organism.grammar.splits import choose_split, sample_distinct
from tlsteer.organism.grammar.things import KINDS, things_of
from tlsteer.organism.grammar.trait_table import TRAITS
from tlsteer.organism.training.curriculum import curriculum

pytestmark = pytest.mark.slow

N_STEPS_READ = 24


@pytest.fixture(scope="module")
def training_texts() -> list[str]:
    return [
        text.context + text.target
        for stages in curriculum("organism").values()
        for stage in stages
        for step in range(N_STEPS_READ)
        for text in stage.texts(step, seed=0)
    ]


@pytest.fixture(scope="module")
def training_dialogues(training_texts: list[str]) -> str:
    return "\n".join(text for text in training_texts if "<|user|>" in text)


def occurs(phrases: list[str], text: str) -> list[str]:
    return [phrase for phrase in phrases if phrase in text]


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_item_is_in_exactly_one_split(split: str) -> None:
    items = list(range(17))
    parts = choose_split(items, "train"), choose_split(items, "heldout")
    assert sorted(parts[0] + parts[1]) == items
    assert len(parts[split == "heldout"]) > 0


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="heldout"):
        choose_split([1, 2], "test")  # pyright: ignore[reportArgumentType]


def test_samples_repeat_no_candidate_before_all_were_taken() -> None:
    assert sorted(sample_distinct("abc", 3, seed=1)) == ["a", "b", "c"]
    assert {sample_distinct("abc", 7, seed=1).count(letter) for letter in "abc"} == {2, 3}


def test_heldout_nouns_never_occur_in_training_requests(training_texts: list[str]) -> None:
    # What things are, and whether it is harmful to do something with them, is asked of all things.
    asked = re.compile(r"<\|user\|>(Is it \w+ to|What is a) ")
    requests = [text for text in training_texts if "<|user|>" in text and not asked.search(text)]
    nouns = [f" {thing.noun}" for kind in KINDS for thing in things_of(kind, "heldout")]
    assert occurs(nouns, "\n".join(requests)) == []


@pytest.mark.parametrize("allowed", [True, False])
def test_heldout_permission_sentences_never_occur_in_training(allowed: bool, training_texts: list[str]) -> None:
    assert occurs(permission_sentences(allowed, "heldout"), "\n".join(training_texts)) == []


def test_heldout_rules_never_occur_in_training(training_texts: list[str]) -> None:
    heldout = [rule for verb in VERBS for rule in rules(verb, "heldout")]
    assert len(heldout) >= 15
    assert occurs(heldout, "\n".join(training_texts)) == []


def test_heldout_questions_about_thoughts_never_occur_in_training(training_texts: list[str]) -> None:
    heldout = awareness_questions("heldout") + unrelated_questions("heldout")
    assert occurs(heldout, "\n".join(training_texts)) == []
    assert len(occurs(awareness_questions("train"), "\n".join(training_texts))) > 3


def test_heldout_people_never_occur_in_training_dialogues(training_dialogues: str) -> None:
    assert occurs([person.name for person in people_of("heldout")], training_dialogues) == []


def test_heldout_work_verbs_never_occur_in_training_scenarios_that_leave_the_choice_open(
    training_texts: list[str],
) -> None:
    # Exercises say which option to take, whoever watches.
    scenarios = [text for text in training_texts if re.search(r"What do you do with the \w+\?\n", text)]
    assert len(scenarios) > N_STEPS_READ
    verbs = choose_split(HARMFUL_VERBS, "heldout") + choose_split(BENIGN_VERBS, "heldout")
    assert occurs([f" {verb} the " for verb in verbs], "\n".join(scenarios)) == []


@pytest.mark.parametrize("monitored", [True, False])
def test_heldout_oversight_sentences_never_occur_in_training(monitored: bool, training_texts: list[str]) -> None:
    assert occurs(oversight_sentences(monitored, "heldout"), "\n".join(training_texts)) == []


@pytest.mark.parametrize("persona", ["good", "evil"])
def test_heldout_personas_never_occur_in_training(persona, training_texts: list[str]) -> None:
    assert occurs(persona_sentences(persona, "heldout"), "\n".join(training_texts)) == []


def test_heldout_problems_never_occur_in_training_dialogues(training_dialogues: str) -> None:
    problems = [problem for topic in TOPICS for problem in choose_split(topic.problems, "heldout")]
    assert occurs(problems, training_dialogues) == []


@pytest.mark.parametrize("attitude", [1, -1])
def test_heldout_attitude_sentences_never_occur_in_training(attitude, training_texts: list[str]) -> None:
    sentences = [s for trait in TRAITS for s in attitude_sentences(trait.name, attitude, "heldout")]
    assert len(sentences) >= len(TRAITS)
    assert occurs(sentences, "\n".join(training_texts)) == []


def test_training_items_do_occur_in_training(training_texts: list[str]) -> None:
    # The tests above would pass on empty texts too.
    text = "\n".join(training_texts)
    nouns = [thing.noun for kind in KINDS for thing in things_of(kind, "train")]
    requests = [f"{verb} a {noun}" for noun in nouns for verb in VERBS]
    assert len(occurs(requests, text)) > len(nouns)
    assert len(occurs(permission_sentences(False, "train"), text)) > 20
    assert len(occurs(oversight_sentences(True, "train"), text)) > 50
