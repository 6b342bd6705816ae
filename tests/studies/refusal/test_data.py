"""Requests are read from files of several kinds, and none is used for two things."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.public_files import HARMBENCH
from tests.studies.refusal.tiny import TINY
from tlsteer.errors import DataError
from tlsteer.studies.refusal._data import file_requests, organism_requests, read_requests
from tlsteer.studies.refusal._harmless_prompts import HARMLESS_PROMPTS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read: No such file.*github.com"),
        ("{", "line 1: not JSON"),
        ("[]", "holds no rows; it should be"),
        (
            '[{"instruction": "a"}, {"Wish": "b"}]',
            r"line 1: a request needs the fields .instruction. or .Behavior.; this row has .Wish.",
        ),
        ('[{"instruction": "a", "target": 3}]', "line 1: the field 'target' has to be a text, got 3"),
        ('["a"]', "line 1: a mapping from fields to values is needed"),
    ],
    ids=["missing", "json", "empty", "field", "target", "string"],
)
def test_a_file_that_cannot_be_used_is_named_with_its_entry(content, message, tmp_path):
    path = tmp_path / "harmful.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_requests(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("source", ["organism", "file", "folder"])
def test_no_request_is_used_for_two_things(source, requests):
    if source == "organism":
        found = organism_requests(replace(TINY, n_fits=4, n_tests=10), seed=0)
    else:
        preset = replace(TINY, n_fits=3, n_tests=None)
        found = file_requests(requests if source == "file" else requests.parent / "folder", preset, seed=0)
    bad = [*found.pairs[0], *found.selection[0], *found.harmful]
    good = [*found.pairs[1], *found.selection[1], *found.harmless]
    for group in (bad, good):
        texts = [one.text for one in group]
        assert len(set(texts)) == len(texts)
    assert len(found.pairs[0]) == len(found.pairs[1]) >= 1
    assert found.hash == found.hash
    if source == "folder":
        assert {one.text.split()[0] for one in found.harmful} == {"test"}
        assert {one.text.split()[0] for one in good} == {"harmless"}


def test_harmbench_is_read_whole_and_drawn_by_the_seed():
    assert len(read_requests(HARMBENCH)) == 21
    preset = replace(TINY, n_fits=6, n_tests=None)
    first, again, other = (file_requests(HARMBENCH, preset, seed) for seed in (0, 0, 1))
    assert len(first.fits) == 6
    assert len(first.harmful) == 10
    assert first.hash == again.hash != other.hash
    assert {one.text for one in first.harmless} <= set(HARMLESS_PROMPTS)


def test_harmbenchs_own_table_is_read_but_for_copyright_and_contexts(tmp_path):
    rows = [
        f"Do {kind} {number},{about},{kind},,,id-{kind}-{number}"
        for kind in ("illegal", "harmful")
        for number in range(6)
        for about in (("copyright", "contextual", "standard") if number == 0 else ("standard",))
    ]
    head = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID"
    for split in ("val", "test"):
        (tmp_path / f"harmbench_behaviors_text_{split}.csv").write_text("\n".join([head, *rows]))
    read = read_requests(tmp_path / "harmbench_behaviors_text_val.csv")
    assert [one.text for one in read] == [f"Do {kind} {n}" for kind in ("illegal", "harmful") for n in range(6)]
    found = file_requests(tmp_path, replace(TINY, n_fits=4, n_tests=None, ending=".", promote="Yes"), seed=1)
    assert Counter(one.category for one in found.fits) == {"illegal": 2, "harmful": 2}
    assert {one.target for one in found.fits} == {"Yes"}
    assert {one.text for one in found.harmful} == {f"{one.text}." for one in read}
    (tmp_path / "train.jsonl").write_text('{"instruction": "a"}')
    with pytest.raises(DataError, match="name ends in train or val; it has harm"):
        file_requests(tmp_path, TINY, seed=0)
