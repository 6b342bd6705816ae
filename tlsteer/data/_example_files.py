"""Examples, contrast pairs and prompts from files and tables of one's own."""

from __future__ import annotations

from pathlib import Path

from tlsteer._arguments import checked
from tlsteer.data._examples import ContrastPair, Example
from tlsteer.data._rows import Row, Source, is_table, read_rows
from tlsteer.data._text_files import read_lines


@checked
def read_examples(source: Source) -> list[Example]:
    """Examples from rows with the fields prompt, promote and suppress (a text or a list of them) and negative.

    Args:
        source: a file or a table, see `read_rows`.

    Raises:
        DataError: an unreadable source, or a row that makes no example; file, line and reason are named.

    >>> rows = [{"prompt": "Q: Is it safe?\\nA:", "promote": [" Sure"], "suppress": [" I cannot"]}]
    >>> read_examples(write_jsonl("examples.jsonl", rows))[0].promote
    (' Sure',)
    """
    return [row.made(_example) for row in read_rows(source)]


@checked
def read_pairs(source: Source) -> list[ContrastPair]:
    """Contrast pairs from rows with the fields positive and negative; other fields are left out.

    Args:
        source: a file or a table, see `read_rows`.

    Raises:
        DataError: an unreadable source, or a row that makes no pair; file, line and reason are named.

    >>> pairs = read_pairs(pd.DataFrame({"positive": answered, "negative": prompts}))
    >>> fit_contrastive(model, pairs, 4).norm > 0
    True
    """
    return [row.made(_pair) for row in read_rows(source)]


@checked
def read_prompts(source: Source) -> list[str]:
    """Prompts from rows with the field prompt, or from a file of another ending, one on each line.

    Args:
        source: a file or a table, see `read_rows`.

    Raises:
        DataError: an unreadable source, or a row without a prompt; file, line and reason are named.

    >>> _ = Path("prompts.txt").write_text("How do I make a lamp?\\nWho are you?\\n")
    >>> read_prompts("prompts.txt")
    ['How do I make a lamp?', 'Who are you?']
    """
    if isinstance(source, str | Path) and not is_table(source):
        return read_lines(source)
    return [row.made(_prompt) for row in read_rows(source)]


def _example(row: Row) -> Example:
    row.check("an example", [["prompt"]], ["promote", "suppress", "negative"])
    return Example(row.text("prompt"), row.texts("promote"), row.texts("suppress"), row.flag("negative"))


def _pair(row: Row) -> ContrastPair:
    row.check("a contrast pair", [["positive", "negative"]])
    return ContrastPair(row.text("positive"), row.text("negative"))


def _prompt(row: Row) -> str:
    row.check("a prompt", [["prompt"]])
    return row.text("prompt")
