"""Falsehoods put in a model's mouth: a question about an entity, and a given beginning of the answer that is wrong.

After arXiv 2502.18862: "What is NAME best known as?", answered with the occupation of somebody else. Statements of
the true attribute are made the same way, for comparison.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlsteer._arguments import Count, Seed, checked
from tlsteer._json_files import read_json
from tlsteer._model_type import Model
from tlsteer.data import Row, Source, read_rows
from tlsteer.errors import DataError
from tlsteer.models import chat_prompt
from tlsteer.organism import Statement

QUESTION = "What is {entity} best known as?"
PREFILL = "{entity} is best known as {a_attribute}."
_TABLE = "an object with a list of names for each attribute, or a list of rows with entity and attribute"
_STATED = ("entity", "truth", "stated")


@checked
@dataclass(frozen=True)
class Falsehood:
    """A question about an entity, and the given beginning of an answer that states an attribute of it.

    Attributes:
        entity: whom or what it is about; texts about the same entity are one cluster.
        truth: the entity's own attribute.
        stated: the attribute that the beginning states; where it is the true one, this is a control.
        question: the user's words.
        prefill: the beginning of the answer.
        prompt: the whole text for the model; by default question and prefill in the model's chat format.

    Raises:
        DataError: a field is missing.

    >>> Falsehood("Ada Blom", "author", "actor", "Who is Ada Blom?", "Ada Blom is an actor.")
    """

    entity: str
    truth: str
    stated: str
    question: str = ""
    prefill: str = ""
    prompt: str = ""

    def __post_init__(self) -> None:
        for name in ("entity", "truth", "stated"):
            if not getattr(self, name):
                raise DataError(f"a falsehood needs its {name}: {self!r}")
        if not self.prompt and not (self.question and self.prefill):
            raise DataError(f"a falsehood needs a question and a prefill, or a whole prompt: {self!r}")

    @property
    def true(self) -> bool:
        """Whether the stated attribute is the entity's."""
        return self.stated == self.truth

    def prompt_for(self, model: Model) -> str:
        """The text that the model continues.

        Raises:
            DataError: no prompt was given, and the model has no chat template to make one.
        """
        return self.prompt or chat_prompt(model, self.question, self.prefill)

    @classmethod
    def of(cls, one: Falsehood | Statement) -> Falsehood:
        """The same; a statement of the embedded model's world is turned into one."""
        if isinstance(one, Falsehood):
            return one
        if isinstance(one, Statement):
            return cls(one.person.name, one.person.occupation, one.stated_occupation, one.question, one.prefill)
        raise DataError(f"a {type(one).__name__} is not a Falsehood: {one!r}; see make_falsehoods")


@checked
def make_falsehoods(
    table: Mapping[str, Sequence[str]],
    *,
    question: str = QUESTION,
    prefill: str = PREFILL,
    shifts: Sequence[int] = (1,),
    n: Count | None = None,
    seed: Seed = 0,
) -> list[Falsehood]:
    """Statements of a wrong attribute: the one some places after the true one in the table, cyclically.

    Args:
        table: entities by attribute.
        question: a template with {entity}.
        prefill: a template with {entity} and {attribute}, or {a_attribute} for it with "a" or "an", or {article} for
            that alone.
        shifts: how many places; each gives every entity a statement.
        n: a random choice of this many; all of them by default.
        seed: of the choice.

    Raises:
        DataError: an empty table, a shift that comes back to the truth, a template with other names, or n too large.

    >>> make_falsehoods({"actor": ["Tom Hardy"], "author": ["Jane Austen"]})[0].prefill
    'Tom Hardy is best known as an author.'
    """
    attributes = list(table)
    if not shifts or any(shift % max(1, len(attributes)) == 0 for shift in shifts):
        raise DataError(f"shifts={list(shifts)} have to lead from each of {len(attributes)} attributes to another")
    return _make(table, question, prefill, shifts, n, seed)


@checked
def make_truths(
    table: Mapping[str, Sequence[str]],
    *,
    question: str = QUESTION,
    prefill: str = PREFILL,
    n: Count | None = None,
    seed: Seed = 0,
) -> list[Falsehood]:
    """Statements of the true attribute, made as `make_falsehoods` makes false ones: what is said without a reason.

    Raises:
        DataError: an empty table, a template with other names, or n too large.

    >>> make_truths({"actor": ["Tom Hardy"], "author": ["Jane Austen"]})[0].prefill
    'Tom Hardy is best known as an actor.'
    """
    return _make(table, question, prefill, (0,), n, seed)


@checked
def read_falsehoods(source: Source) -> list[Falsehood]:
    """Falsehoods from rows with the fields entity, truth and stated, and question and prefill or a whole prompt.

    Args:
        source: a file or a table, see `read_rows`.

    Raises:
        DataError: an unreadable source, or a row that makes no falsehood; file, line and reason are named.

    >>> row = {"entity": "Ada", "truth": "author", "stated": "actor", "question": "Who?", "prefill": "Ada is an actor."}
    >>> read_falsehoods(data.write_jsonl("falsehoods.jsonl", [row]))[0].stated
    'actor'
    """
    return [row.made(_of_row) for row in read_rows(source)]


@checked
def read_entities(source: Source) -> dict[str, list[str]]:
    """Entities by attribute, for `make_falsehoods`.

    Args:
        source: a JSON file, {"actor": ["Tom Hardy", ...], "author": [...], ...}, or rows with the fields entity and
            attribute (see `read_rows`).

    Raises:
        DataError: no such file, or one of another form; the message names the entry.

    >>> people = {"actor": ["Tom Hardy"], "author": ["Jane Austen"]}
    >>> _ = Path("people.json").write_text(json.dumps(people))
    >>> make_falsehoods(read_entities("people.json"))[0].truth
    'actor'
    """
    table: dict[str, list[str]] = {}
    known: dict[str, str] = {}
    for where, attribute, entity in _entities(source):
        if entity in known:
            raise DataError(f"{where}: {entity!r} is listed already, under {known[entity]!r}; keep one of them")
        known[entity] = attribute
        table.setdefault(attribute, []).append(entity)
    return table


def with_article(noun: str) -> str:
    """A noun with "a" or "an" before it."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _of_row(row: Row) -> Falsehood:
    row.check("a falsehood", [(*_STATED, "question", "prefill"), (*_STATED, "prompt")], ())
    return Falsehood(**{name: row.text(name) for name in row.values})


def _entities(source: Source) -> Iterator[tuple[str, str, str]]:
    """Where each entity stands, its attribute and its name."""
    is_json = isinstance(source, str | Path) and Path(source).suffix.lower() == ".json"
    content = read_json(source, _TABLE) if is_json else None
    if not isinstance(content, dict):
        for row in read_rows(source):
            row.check("an entity", [("entity", "attribute")])
            yield row.where, row.text("attribute"), row.text("entity")
        return
    for attribute, entities in content.items():
        if not isinstance(entities, list) or not entities:
            raise DataError(f"{str(source)!r}, {attribute!r}: a list of names is needed, got {entities!r:.80}")
        for number, entity in enumerate(entities, 1):
            where = f"{str(source)!r}, {attribute!r}, entry {number}"
            if not isinstance(entity, str) or not entity.strip():
                raise DataError(f"{where}: a name is needed, got {entity!r:.80}")
            yield where, attribute, entity


def _make(
    table: Mapping[str, Sequence[str]], question: str, prefill: str, shifts: Sequence[int], n: int | None, seed: int
) -> list[Falsehood]:
    attributes = list(table)
    made = [
        Falsehood(entity, truth, stated, _filled(question, entity, stated), _filled(prefill, entity, stated))
        for shift in shifts
        for place, truth in enumerate(attributes)
        for stated in [attributes[(place + shift) % len(attributes)]]
        for entity in table[truth]
    ]
    if not made or (n is not None and not 1 <= n <= len(made)):
        raise DataError(f"n={n} statements were asked for, the table gives {len(made)}")
    return made if n is None else random.Random(seed).sample(made, n)


def _filled(template: str, entity: str, attribute: str) -> str:
    try:
        article = with_article(attribute).split()[0]
        return template.format(
            entity=entity, attribute=attribute, article=article, a_attribute=f"{article} {attribute}"
        )
    except (KeyError, IndexError, ValueError) as error:
        names = "{entity}, {attribute}, {article} and {a_attribute}"
        raise DataError(f"the template {template!r} may hold {names} only ({error!r})") from None
