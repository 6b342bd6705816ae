"""The datasets of the persona-reliability study: traits of the embedded model, or files of choices and attitudes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tlsteer._json_files import read_json
from tlsteer.data import Attitudes, Choice, data_hash, name_of, read_choices
from tlsteer.data._choices import draw_questions
from tlsteer.errors import DataError
from tlsteer.organism import TRAITS
from tlsteer.organism._trait_choices import trait_attitudes, trait_choices

# An option's letter at the beginning of its line.
_OPTION = re.compile(r"^ ?\([A-Z]\)(?= )", re.MULTILINE)

WHERE = (
    "give data= files of choices, such as persona/*.jsonl of https://github.com/anthropics/evals, and, for prompt "
    'shifts, one .json file of attitude sentences: {"interest-in-science": {"positive": "You love science.", '
    '"negative": "You hate science."}, ...} by the names of the data files'
)


@dataclass(frozen=True)
class Personas:
    """The datasets of a run.

    Attributes:
        choices: by dataset.
        told: the sentences of the prompt settings, of the datasets that have some.
        fitted_with: the sentences that attitude vectors are fitted with, of the same datasets.
        source: where all of them are from, in words.
    """

    choices: Mapping[str, Sequence[Choice]]
    told: Mapping[str, Attitudes]
    fitted_with: Mapping[str, Attitudes]
    source: str

    @property
    def hash(self) -> str:
        """Of all that is asked and said."""
        return data_hash([json.dumps([name, part]) for name in self.choices for part in self._content(name)])

    def _content(self, name: str) -> list[dict]:
        sentences = [by_name[name] for by_name in (self.told, self.fitted_with) if name in by_name]
        return [asdict(one) for one in [*self.choices[name], *sentences]]


def organism_personas(questions: int | None, seed: int) -> Personas:
    """The embedded model's traits; vectors are fitted with its training sentences and tried on held-out ones."""
    names = [trait.name for trait in TRAITS]
    return Personas(
        {name: trait_choices(name, questions or 200, seed=seed) for name in names},
        {name: trait_attitudes(name) for name in names},
        {name: trait_attitudes(name, "train") for name in names},
        f"held-out questions about the {len(names)} traits of the embedded model's world",
    )


def personas_from_files(
    data: str | Path | Sequence[str | Path], questions: int | None, seed: int, system: str = "", after_letter: str = ""
) -> Personas:
    """Datasets from files, named after them.

    Args:
        data: files of choices (see `read_choices`), and at most one `.json` file of attitudes by dataset.
        questions: at most this many of each dataset, drawn at random.
        seed: of the letters that statements get, and of the draw.
        system: the system message of all questions.
        after_letter: stands between the letter of an option and its answer.

    Raises:
        DataError: no file of choices, two of one name, or a file that cannot be read; it says where to get some.
    """
    files = [Path(one) for one in ([data] if isinstance(data, str | Path) else data)]
    if missing := [file for file in files if not file.exists()]:
        raise DataError(f"there is no file {str(missing[0])!r}; {WHERE}")
    # Attitudes are an object by dataset; a list is one of questions.
    sentences = [file for file in files if file.suffix == ".json" and isinstance(read_json(file, WHERE), dict)]
    asked = [file for file in files if file not in sentences]
    if not asked or len(sentences) > 1:
        raise DataError(f"the persona-reliability study has {len(asked)} files of questions here; {WHERE}")
    names = [name_of(file) for file in asked]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"two datasets are called {twice[0]!r}; rename one of the files")
    choices = {name_of(file): draw_questions(read_choices(file, seed), questions, seed) for file in asked}
    if system or after_letter:
        choices = {name: [_asked(one, system, after_letter) for one in several] for name, several in choices.items()}
    told = _attitudes(sentences[0], names) if sentences else {}
    return Personas(choices, told, told, ", ".join(map(str, asked)))


def _asked(choice: Choice, system: str, after_letter: str) -> Choice:
    """A question in a study's words; the raw prompt, for models without a chat template, stays the file's own."""
    question = _OPTION.sub(rf"\g<0>{after_letter}", choice.question)
    return replace(choice, question=question, system=system or choice.system)


def _attitudes(file: Path, names: Sequence[str]) -> dict[str, Attitudes]:
    found = read_json(file, f"a file of attitudes: {WHERE}")
    try:
        attitudes = {str(name): Attitudes(one["positive"], one["negative"]) for name, one in found.items()}
    except DataError as error:
        raise DataError(f"{str(file)!r}: {error}; {WHERE}") from None
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{str(file)!r} is not a file of attitudes ({error!r}); {WHERE}") from None
    if unknown := sorted(set(attitudes) - set(names)):
        raise DataError(f"{str(file)!r} has attitudes for {unknown[0]!r}, and the datasets are {', '.join(names)}")
    return attitudes
