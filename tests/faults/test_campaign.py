"""A little of the campaign runs with the other tests; `make test-faults` runs all of it."""

import inspect
import re
import subprocess
import sys
import warnings
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tlsteer as ts
from tests.chromium import CHROMIUM
from tests.faults.__main__ import KINDS
from tests.faults.calls import vector
from tests.faults.campaign_calls import LEFT_OUT, every_call
from tests.faults.campaign_readers import damaged
from tests.test_front_door import public
from tests.test_repository import ROOT
from tlsteer._json_files import parse_json
from tlsteer._store import Store


@pytest.mark.slow
def test_a_little_of_every_kind_fails_nowhere():
    # In a process of its own, because users' annotations are not checked twice, and because it is killed and forked.
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--quick", "--seed", "0"], cwd=ROOT, capture_output=True, text=True
    )
    rows = re.findall(r"^\| ([\w ]+) \| (\d+) \| (\d+) \|$", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stderr
    assert {kind for kind in KINDS if any(name.startswith(kind) for name, _, _ in rows)} == set(KINDS)
    assert {name for name, tried, _ in rows if tried == "0"} == (set() if CHROMIUM else {"browser"})
    assert {failed for _, _, failed in rows} == {"0"}


@pytest.mark.slow
def test_every_public_function_is_called_or_said_not_to_be(tmp_path):
    called = {call for call, _ in every_call(tmp_path).values()}
    functions = {name: thing for name, thing in public().items() if inspect.isfunction(thing)}
    assert {*functions.values()} - called == {functions[name] for name in LEFT_OUT}


@given(st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_a_damaged_vector_is_refused_or_the_one_that_was_saved(tmp_path_factory, draw):
    file = vector().save(tmp_path_factory.mktemp("v") / "v.safetensors")
    file.write_bytes(damaged(file.read_bytes(), draw))
    try:
        found = ts.SteeringVector.load(file)
    except ts.TlsteerError:
        return
    assert found.tensor.equal(vector().tensor)


@given(st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_a_damaged_table_of_rows_is_read_or_refused(tmp_path_factory, draw):
    file = tmp_path_factory.mktemp("rows") / draw.choice(["rows.jsonl", "rows.json", "rows.csv"])
    right = {".jsonl": b'{"prompt": "a", "promote": ["b"]}\n{"prompt": "c", "suppress": "d"}\n',
             ".json": b'[{"prompt": "a", "promote": ["b"]}]', ".csv": b"prompt,promote\nHello,world\n"}  # fmt: skip
    file.write_bytes(damaged(right[file.suffix], draw))
    with suppress(ts.TlsteerError):
        assert all(isinstance(one, ts.Example) for one in ts.data.read_examples(file))


@given(st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_a_damaged_unit_is_none_or_what_was_kept(tmp_path_factory, draw):
    store = Store(tmp_path_factory.mktemp("units"))
    store.put("unit", {"a": [1, 2.5, "x"]})
    (file,) = store.folder.iterdir()
    file.write_bytes(damaged(file.read_bytes(), draw))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.get("unit") in (None, {"a": [1, 2.5, "x"]})


@given(st.text() | st.binary() | st.integers(1, 100_000).map(lambda depth: "[" * depth) | st.just("9" * 10_000))
def test_json_is_parsed_or_a_value_error(content):
    with suppress(ValueError):
        parse_json(content)
