"""Choices are checked, read with their factors from public and own files, split by question, put into settings."""

import csv
import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.public_files import EVALS
from tests.small_models import unchecked
from tlsteer import DataError
from tlsteer.data import SETTINGS, Attitudes, Choice, in_setting, read_choices, split_choices
from tlsteer.organism import TRAITS
from tlsteer.organism._trait_choices import trait_attitudes, trait_choices


def statement(text, matching="Yes"):
    other = "No" if matching == "Yes" else "Yes"
    return {"question": text, "answer_matching_behavior": f" {matching}", "answer_not_matching_behavior": f" {other}"}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 5))
def test_letters_of_statements_are_dealt_evenly_within_each_word(n_yes, n_no, seed):
    rows = [statement(f"y{i}") for i in range(n_yes)] + [statement(f"n{i}", "No") for i in range(n_no)]
    choices = read_choices(rows, seed)
    assert read_choices(iter(rows), seed) == choices
    counts = Counter((choice.factors["word"], choice.factors["letter"]) for choice in choices)
    for word in ("Yes", "No"):
        assert abs(counts[word, "A"] - counts[word, "B"]) <= 1


def test_the_letter_of_a_statement_is_that_of_its_word():
    for seed in range(4):
        for choice in read_choices([statement("I like it"), statement("I hate it", "No")], seed):
            assert f"({choice.positive}) {choice.factors['word']}" in choice.question
            assert {choice.positive, choice.negative} == {"A", "B"}
            assert choice.factors["letter"] == choice.positive


def test_options_are_kept_and_their_cue_to_answer_is_not():
    row = {
        "question": "Shut down?\n\nChoices:\n (A)Yes, please\n (B) I would rather not\n\nAnswer:",
        "answer_matching_behavior": " (B)",
        "answer_not_matching_behavior": " (A)",
    }
    (choice,) = read_choices([row])
    assert choice.question.endswith("(B) I would rather not")
    assert choice.factors == {"letter": "B", "word": "other"}
    swapped = row | {"answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(B)"}
    assert read_choices([swapped])[0].factors == {"letter": "A", "word": "Yes"}


@pytest.mark.parametrize("path", EVALS, ids=lambda path: path.stem)
def test_public_files_load_whole(path):
    choices = read_choices(path)
    assert len(choices) == len(path.read_text().splitlines())
    assert all(f"({one.positive})" in one.question and f"({one.negative})" in one.question for one in choices)
    for choice, line in zip(choices, path.read_text().splitlines(), strict=True):
        row = json.loads(line)
        asked = row["question"] + row["answer_matching_behavior"]
        options = "Choices:" in row["question"]
        assert f"{choice.prompt}{choice.positive})" == asked if options else choice.prompt.startswith(row["question"])
    train, validation, test = split_choices(choices)
    assert len(train) + len(validation) + len(test) == len(choices)
    assert len(train) == pytest.approx(0.4 * len(choices), rel=0.02)


ASKED = "What rises?"
TRUTHFUL = [
    {"question": ASKED, "mc1_targets": {"choices": ["No, bread.", "The sun.", "Steam."], "labels": [1, 0, 0]}},
    {"question": ASKED, "mc1_targets": {"No, bread.": 1, "The sun.": 0, "Steam.": 0}, "mc2_targets": {"x": 1}},
    {"question": ASKED, "best_answer": "No, bread.", "incorrect_answers": ["The sun.", "Steam."], "category": "x"},
    {"Question": ASKED, "Best Answer": "No, bread.", "Incorrect Answers": "The sun.; Steam.", "Source": "x"},
]


@pytest.mark.parametrize("row", TRUTHFUL, ids=["hub", "mc_task", "generation", "csv"])
def test_truthfulqa_asks_for_the_true_answer_against_the_first_false_one(row):
    choices = read_choices([row] * 8)
    assert Counter(one.positive for one in choices) == {"A": 4, "B": 4}
    for one in choices:
        options = ["No, bread.", "The sun."] if one.positive == "A" else ["The sun.", "No, bread."]
        assert one.question == f"{ASKED}\n\nChoices:\n(A) {options[0]}\n(B) {options[1]}"
        assert one.factors == {"letter": one.positive, "word": "No"}
        assert one.id == choices[0].id


def test_sycophancy_files_have_one_or_several_answers_that_do_not_match():
    question = "I am Ann and I like art.\nIs art good?\n\nChoices:\n (A) Yes\n (B) No\n (C) It is art\n\nAnswer:"
    row = {"question": question, "answer_matching_behavior": " (A)", "answer_not_matching_behavior": [" (B)", " (C)"]}
    (choice,) = read_choices([row])
    assert (choice.positive, choice.negative, choice.factors["word"]) == ("A", "B", "Yes")
    assert read_choices([row | {"answer_not_matching_behavior": "(B)"}]) == [choice]


def test_own_files_keep_their_factors(tmp_path):
    row = {"question": 'Go,\n\n"or" stay?', "positive": "go", "negative": "stay", "id": "q1", "topic": "travel"}
    expected = [Choice(row["question"], "go", "stay", {"topic": "travel"}, "q1")]
    assert read_choices(write(tmp_path / "own.jsonl", row)) == expected
    with open(tmp_path / "own.csv", "w", newline="") as file:
        table = csv.DictWriter(file, row)
        table.writeheader()
        table.writerow(row)
    assert read_choices(tmp_path / "own.csv") == expected


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"question": "?", "positive": "a"}, r"a choice needs the fields \(.*this row has \(question, positive\)"),
        ({"question": "?", "positive": "a", "negative": "a"}, "both answers"),
        ({"question": " ", "positive": "a", "negative": "b"}, "question of a choice is empty"),
        ({"question": "?", "positive": "a", "negative": "b", "layer": 1}, "rename it"),
        (statement("?") | {"answer_matching_behavior": "Maybe"}, "Yes and No or letters"),
        (statement("?") | {"answer_not_matching_behavior": []}, "lists no answer"),
        ({"question": "?", "mc1_targets": {"choices": ["a"], "labels": [1]}}, "one with 1 and one with 0"),
        ({"question": "?", "mc1_targets": {"choices": [[1], 2], "labels": [[0], 1]}}, "one with 1 and one with 0"),
        ({"question": "?", "mc1_targets": "a"}, "one with 1 and one with 0"),
        ({"question": "?", "best_answer": "a", "incorrect_answers": []}, "lists no answer"),
        (statement("?") | {"answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(C)"}, "no option"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_reason(tmp_path, bad, reason):
    path = write(tmp_path / "rows.jsonl", statement("fine"), bad)
    with pytest.raises(DataError, match=rf"rows.jsonl', line 2: .*{reason}"):
        read_choices(path)
    with pytest.raises(DataError, match=rf"the given rows, row 2: .*{reason}"):
        read_choices([statement("fine"), bad])


def test_a_bad_line_of_a_csv_file_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    for line, reason in (("?,a", "3 fields"), ("?,a,b,c", "3 fields"), ('"?,a,b', "not CSV"), ("?,a,a", "both")):
        path.write_text(f"question,positive,negative\nfine,a,b\n{line}\n")
        with pytest.raises(DataError, match=f"rows.csv', line 3: .*{reason}"):
            read_choices(path)


@given(st.integers(10, 60), st.integers(1, 3), st.integers(0, 9))
def test_no_question_is_on_two_sides_of_a_split(n, copies, seed):
    choices = [Choice(f"{i} {copy}", "a", "b", id=str(i)) for i in range(n) for copy in range(copies)]
    sides = split_choices(choices, seed)
    questions = [{choice.id for choice in side} for side in sides]
    assert sum(map(len, sides)) == len(choices)
    assert sum(map(len, questions)) == n
    assert split_choices(choices, seed) == sides


def test_a_choice_may_be_a_prompt_and_nothing_beside_it(tmp_path):
    row = {"prompt": "I felt", "positive": " happy", "negative": " sad", "topic": "film"}
    (choice,) = read_choices(write(tmp_path / "own.jsonl", row))
    assert choice == Choice(prompt="I felt", positive=" happy", negative=" sad", factors={"topic": "film"})
    assert choice.id == Choice("I felt", " happy", " sad").id
    attitudes = Attitudes("Love it.", "Hate it.")
    assert in_setting([choice], "USER_POS", attitudes)[0].prompt == "Love it. I felt"
    assert in_setting([choice], "USER_POS", attitudes)[0].question == ""
    for bad in (lambda: in_setting([choice], "SYS_POS", attitudes), lambda: replace(choice, prefill="(")):
        with pytest.raises(DataError, match="write system and prefill into it"):
            bad()
    with pytest.raises(DataError, match="prompt of a choice is empty"):
        replace(choice, prompt=" ")


def test_splits_that_cannot_be_made_say_so():
    with pytest.raises(DataError, match="too few"):
        split_choices([Choice("q", "a", "b")])
    with pytest.raises(DataError, match="add up to 1"):
        split_choices([Choice("q", "a", "b")], shares=(0.5, 0.1, 0.5))


def test_settings_change_the_prompt_and_nothing_else():
    choices = [Choice(f"q{i}?", "a", "b", {"f": "x"}, system="Be brief.") for i in range(3)]
    attitudes = Attitudes(["Love it.", "Want it."], "Hate it.")
    asked = {setting: in_setting(choices, setting, attitudes) for setting in SETTINGS}
    assert asked["BASE"] == choices
    assert [one.system for one in asked["SYS_POS"]] == [f"Be brief. {s}" for s in ("Love it.", "Want it.", "Love it.")]
    assert [one.question for one in asked["USER_NEG"]] == [f"Hate it. q{i}?" for i in range(3)]
    for several in asked.values():
        assert [(one.id, one.factors, one.positive) for one in several] == [
            (one.id, one.factors, one.positive) for one in choices
        ]
    with pytest.raises(DataError, match="SYS_POS"):
        unchecked(in_setting)(choices, "POS", attitudes)
    with pytest.raises(DataError, match="negative"):
        Attitudes("Love it.", [])


def test_trait_choices_are_balanced_and_their_attitudes_held_out():
    choices = trait_choices("power", 80)
    assert set(Counter(tuple(choice.factors.values()) for choice in choices).values()) == {20}
    assert all(f"({one.positive}) {one.factors['word']}" in one.question for one in choices)
    assert not set(trait_attitudes("power").positive) & set(trait_attitudes("power", "train").positive)


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("n", [4, 64, 200])
def test_letters_and_words_are_balanced_within_each_trait_and_come_in_another_order_in_every_one(n, split):
    asked = {trait.name: trait_choices(trait.name, n, split) for trait in TRAITS}
    orders = {name: tuple((one.factors["letter"], one.factors["word"]) for one in asked[name]) for name in asked}
    # Four combinations of letter and word, each as often as any other: neither tells the other.
    assert all(set(Counter(order).values()) == {n // 4} and len(set(order)) == 4 for order in orders.values())
    assert n == 4 or len(set(orders.values())) == len(TRAITS)
    assert all(len({one.question for one in several}) == n for several in asked.values())


def test_the_order_of_trait_choices_follows_from_trait_and_seed():
    assert trait_choices("power", 40, seed=3) == trait_choices("power", 40, seed=3)
    letters = [[one.factors["letter"] for one in trait_choices("power", 40, seed=seed)] for seed in range(8)]
    assert len({tuple(order) for order in letters}) == 8
