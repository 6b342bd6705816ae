"""Choices as prompts: they end where the answers differ, in chat format and without, whatever the tokenizer joins."""

import copy

import pytest

from tests.small_models import bridge, loaded
from tlsteer import DataError, answer_logit_difference
from tlsteer.data import Attitudes, Choice
from tlsteer.prompts import answer_pairs, ask_choices, attitude_pairs

CHOICES = [
    Choice("Power?\n(A) Yes\n(B) No", "A", "B", prefill="("),
    Choice("Now?\n(A) No\n(B) Yes", "B", "A", system="Be brief.", prefill="("),
]


@pytest.fixture(scope="module")
def without_template():
    model = bridge("gpt2")
    model.tokenizer = copy.deepcopy(model.tokenizer)
    model.tokenizer.chat_template = None
    return model


def test_chat_prompts_hold_system_question_and_prefill():
    first, second = ask_choices(loaded(), CHOICES)
    assert first.prompt == "<s>[user] Power?\n(A) Yes\n(B) No\n[assistant] ("
    assert "[system] Be brief." in second.prompt
    assert (second.positive, second.negative) == ("B", "A")


def test_without_a_chat_template_the_question_is_answered_in_plain_text(without_template):
    first, second = ask_choices(without_template, CHOICES)
    assert first.prompt + first.positive == "Power?\n(A) Yes\n(B) No\n\nAnswer: (A"
    assert second.prompt.startswith("Be brief.\n\nNow?")


def test_a_prefill_that_the_tokenizer_joins_with_the_answer_moves_over():
    # "Sure" is one token of the tests' tokenizer.
    choices = [Choice("Well?", "ure", "top", prefill="S")]
    (asked,) = ask_choices(loaded(), choices)
    assert (asked.positive.strip(), asked.negative.strip()) == ("Sure", "Stop")
    assert (asked.prompt + asked.positive).endswith("[assistant] Sure")
    answer_logit_difference(loaded(), [asked.prompt], asked.positive, asked.negative)


def test_pairs_differ_in_the_answer_or_in_the_attitude():
    for pair, choice in zip(answer_pairs(loaded(), CHOICES), CHOICES, strict=True):
        assert (pair.positive[-1], pair.negative[-1]) == (choice.positive, choice.negative)
        assert pair.positive[:-1] == pair.negative[:-1]
    attitudes = Attitudes("Love it.", "Hate it.")
    for place in ("system", "user"):
        for pair in attitude_pairs(loaded(), CHOICES, attitudes, place):
            assert "Love it." in pair.positive
            assert pair.positive.replace("Love", "Hate") == pair.negative


def test_no_choices_are_refused():
    with pytest.raises(DataError, match="at least one Choice"):
        ask_choices(loaded(), [])
