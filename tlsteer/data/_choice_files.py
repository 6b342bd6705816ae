"""Choices from model-written evaluations, TruthfulQA and files of one's own.

| a row's fields | becomes |
|---|---|
| `question`, `answer_matching_behavior`, `answer_not_matching_behavior`: Yes or No | (A)/(B) options, letters dealt |
| the same with (A), (B), ... as answers | the question, without a last "Answer:" in a chat |
| `question`, `mc1_targets`; or `best_answer`, `incorrect_answers` | the true and the first false one, letters dealt |
| `question` or `prompt`, `positive`, `negative`; any of `id`, `system`, `prefill`; others | as named; others: factors |

The first two are the formats of github.com/anthropics/evals (arXiv 2212.09251): persona, and advanced-ai-risk and
sycophancy, which github.com/nrimsky/CAA has too; of several answers that do not match, the first counts. The third is
TruthfulQA (arXiv 2109.07958), as on the Hub or as its own TruthfulQA.csv and mc_task.json. The prompt, for models
without a chat template, is the file's own text, and with lettered answers also its own answer up to the letter.
"""

from __future__ import annotations

import random
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from tlsteer._arguments import Seed, checked
from tlsteer.data._choices import Choice, question_id
from tlsteer.data._rows import Row, Source, read_rows

_FORMS = (
    ("question", "positive", "negative"),
    ("prompt", "positive", "negative"),
    ("question", "answer_matching_behavior", "answer_not_matching_behavior"),
    ("question", "mc1_targets"),
    ("question", "best_answer", "incorrect_answers"),
    ("Question", "Best Answer", "Incorrect Answers"),
)
_OWN_FIELDS = ("question", "positive", "negative", "system", "prefill", "prompt")
_LETTERED = re.compile(r"\(([A-Z])\)")


@checked
def read_choices(source: Source, seed: Seed = 0) -> list[Choice]:
    """Choices from a file or a table.

    Factors of model-written evaluations and of TruthfulQA are the `letter` and the `word` of the positive answer; the
    word of an option that begins with neither Yes nor No is "other".

    Args:
        source: a file or a table, see `read_rows`.
        seed: of the letters, where the file has none: of Yes/No statements half of those whose positive answer is Yes,
            and half of the others, have "A" for it; of TruthfulQA half of all.

    Raises:
        DataError: an unreadable source or a row that makes no choice; file, line and reason are named.

    >>> rows = [{"question": "Is it?", "positive": " Yes", "negative": " No"}]
    >>> read_choices(data.write_jsonl("choices.jsonl", rows))[0].positive
    ' Yes'
    >>> read_choices(datasets.load_dataset("Anthropic/model-written-evals", split="train"))  # doctest: +SKIP
    """
    rows = read_rows(source)
    words = [_yes_or_no(row) for row in rows]
    letters = _dealt_letters(words, random.Random(seed))
    return [row.made(_choice, word, letter) for row, word, letter in zip(rows, words, letters, strict=True)]


def _yes_or_no(row: Row) -> str:
    """The positive answer of a Yes/No statement; "" for other rows."""
    row.check("a choice", _FORMS)
    if "answer_matching_behavior" not in row.values:
        return ""
    answers = _answers(row)
    if sorted(answers) == ["No", "Yes"]:
        return answers[0]
    if not all(map(_LETTERED.fullmatch, answers)):
        raise row.error(f"the answers have to be Yes and No or letters such as (A) and (B), got {answers}")
    return ""


def _dealt_letters(words: Sequence[str], dealer: random.Random) -> list[str]:
    """The letter of each positive answer: "A" for half of each word's rows."""
    letters = [""] * len(words)
    for word in dict.fromkeys(words):
        places = [i for i, one in enumerate(words) if one == word]
        dealer.shuffle(places)
        # Which letter the odd one out gets is drawn too.
        first = dealer.randrange(2)
        for i, place in enumerate(places):
            letters[place] = "AB"[(i + first) % 2]
    return letters


def _choice(row: Row, word: str, letter: str) -> Choice:
    names = row.values
    if word:
        return _lettered(row.text("question"), word, "No" if word == "Yes" else "Yes", letter)
    if "answer_matching_behavior" in names:
        return _from_options(row)
    if "mc1_targets" in names or "best_answer" in names or "Best Answer" in names:
        return _lettered(*_truth_and_falsehood(row), letter)
    return _from_own(row)


def _answers(row: Row) -> list[str]:
    """The answer that matches the behaviour, and the first of those that do not."""
    others = row.texts("answer_not_matching_behavior")
    if not others:
        raise row.error("the field 'answer_not_matching_behavior' lists no answer")
    return [row.text("answer_matching_behavior").strip(), others[0].strip()]


def _truth_and_falsehood(row: Row) -> tuple[str, str, str]:
    """Question, true answer and first false answer of a row of TruthfulQA."""
    if "Best Answer" in row.values:  # TruthfulQA.csv
        return row.text("Question"), row.text("Best Answer"), row.text("Incorrect Answers").split(";")[0].strip()
    if "best_answer" in row.values:
        falsehoods = row.texts("incorrect_answers")
        if not falsehoods:
            raise row.error("the field 'incorrect_answers' lists no answer")
        return row.text("question"), row.text("best_answer"), falsehoods[0]
    answers = {label: answer for answer, label in reversed(_labelled(row.values["mc1_targets"]))}
    if not all(isinstance(answers.get(label), str) for label in (0, 1)):
        raise row.error("the field 'mc1_targets' has to label answers, at least one with 1 and one with 0")
    return row.text("question"), answers[1], answers[0]


def _labelled(targets: Any) -> list[tuple[Any, Any]]:
    """Answers with their labels, from a mapping or from two lists; none where it is neither."""
    if not isinstance(targets, Mapping):
        return []
    if set(targets) == {"choices", "labels"}:  # each a list, or an array of a parquet file
        both = (list(one) if isinstance(one, Iterable) else [] for one in (targets["choices"], targets["labels"]))
        return [(answer, label) for answer, label in zip(*both, strict=False) if isinstance(label, Hashable)]
    return [(answer, label) for answer, label in targets.items() if isinstance(label, Hashable)]


def _lettered(question: str, positive: str, negative: str, letter: str) -> Choice:
    """A question with two answers as options, the positive one at a letter."""
    options = (positive, negative) if letter == "A" else (negative, positive)
    asked = f"{question}\n\nChoices:\n(A) {options[0]}\n(B) {options[1]}"
    return Choice(
        asked,
        positive=letter,
        negative="B" if letter == "A" else "A",
        factors={"letter": letter, "word": _word(positive)},
        id=question_id(question),
        prefill="(",
        prompt=f"{asked} (",
    )


def _from_options(row: Row) -> Choice:
    # Some of the files write the cue to answer into the question; in a chat nobody needs it.
    question = row.text("question").strip().removesuffix("Answer:").rstrip()
    prompt = row.text("question") + row.text("answer_matching_behavior").partition("(")[0] + "("
    positive, negative = (answer[1] for answer in _answers(row))
    for letter in (positive, negative):
        if f"({letter})" not in question:
            raise row.error(f"the question has no option ({letter})")
    factors = {"letter": positive, "word": _word(question.rpartition(f"({positive})")[2])}
    return Choice(question, positive, negative, factors, prefill="(", prompt=prompt)


def _word(answer: str) -> str:
    """Yes or No, where an answer begins with it."""
    first = answer.split()[:1]
    word = first[0].strip(",.;:!").capitalize() if first else ""
    return word if word in ("Yes", "No") else "other"


def _from_own(row: Row) -> Choice:
    texts = {name: row.text(name) for name in _OWN_FIELDS if name in row.values}
    factors = {name: str(value) for name, value in row.values.items() if name not in ("id", *_OWN_FIELDS)}
    return Choice(**texts, id=row.label("id"), factors=factors)
