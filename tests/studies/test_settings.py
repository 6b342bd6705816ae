"""Settings of a study from files and words: each value as its field wants it, or an error that names it."""

import json
import sys
from dataclasses import dataclass
from functools import partial

import pytest

from tlsteer.errors import DataError, PositionError
from tlsteer.positions import Positions, last
from tlsteer.studies import StudyPreset, find_study
from tlsteer.studies._settings import preset_from, settings_in, settings_in_force

TOML = """
layer = 14
refusals = ["I cannot", "Sorry"]
max_norm = 30
positions = "last:20"
"""
GIVEN = {"layer": 14, "refusals": ["I cannot", "Sorry"], "max_norm": 30, "positions": "last:20"}
STUDY = find_study("refusal")
in_force = partial(settings_in_force, STUDY.presets, STUDY.default)


@dataclass(frozen=True, kw_only=True)
class Preset(StudyPreset):
    layer: int
    words: tuple[str, ...] = ()
    norms: tuple[float, ...] = ()
    cap: float | None = None
    flag: bool = False
    positions: Positions = "all"


def made(**given):
    return preset_from(Preset, None, {"layer": 1} | given)


@pytest.mark.parametrize("kind", ["json", *(["toml"] if sys.version_info >= (3, 11) else [])])
def test_a_file_holds_the_settings_of_a_model_of_ones_own(kind, tmp_path):
    file = tmp_path / f"mine.{kind}"
    file.write_text(TOML if kind == "toml" else json.dumps(GIVEN))
    found = in_force("some/model", str(file), {"n_fits": "4"})
    assert (found.layer, found.refusals, found.max_norm) == (14, ("I cannot", "Sorry"), 30.0)
    assert (found.positions, found.n_fits, found.steps) == (last(20), 4, 30)


def test_a_file_takes_the_place_of_what_a_preset_says(tmp_path):
    (tmp_path / "less.json").write_text(json.dumps({"n_fits": 3}))
    found = in_force("google/gemma-2-2b-it", tmp_path / "less.json", {})
    assert found == in_force("gemma-2-2b-it", None, {"n_fits": 3})
    assert found.refusals == ("I cannot",)


def test_a_model_without_a_preset_borrows_no_words_of_another():
    with pytest.raises(DataError, match=r"no preset for 'some/model'; give preset= .* with refusals.* \(refusals=\)"):
        in_force("some/model", None, {"layer": 3})
    found = in_force("some/model", None, {"layer": 3, "refusals": "I can't, no"})
    assert found.refusals == ("I can't, no",)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"layer": "3"}, 3),
        ({"words": "No, never"}, ("No, never",)),
        ({"words": ["a", "b"]}, ("a", "b")),
        ({"norms": "0.5,1"}, (0.5, 1.0)),
        ({"norms": ["0.5", "1"]}, (0.5, 1.0)),
        ({"norms": 2}, (2.0,)),
        ({"cap": "1e2"}, 100.0),
        ({"cap": None}, None),
        ({"flag": "True"}, True),
        ({"positions": "2:"}, slice(2, None)),
        ({"dtype": "bfloat16"}, "bfloat16"),
    ],
    ids=str,
)
def test_a_text_is_read_as_its_field_wants_it(given, value):
    found = getattr(made(**given), next(iter(given)))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layer": "x"}, "layer='x' is no int"),
        ({"layer": 1.5}, "layer=1.5 is no int"),
        ({"layer": True}, "layer=True is no int"),
        ({"flag": "maybe"}, "flag='maybe' is no bool"),
        ({"norms": "1,x"}, r"norms='1,x' is no tuple\[float"),
        ({"words": [1]}, r"words=\[1\] is no tuple\[str"),
        ({"layr": 1}, r"no setting 'layr' in Preset \(did you mean 'layer'\?\)"),
    ],
    ids=str,
)
def test_what_is_no_such_value_is_refused_by_name(given, said):
    with pytest.raises(DataError, match=said):
        made(**given)


def test_positions_that_are_none_are_refused():
    with pytest.raises(PositionError, match="positions='first:2' is unknown"):
        made(positions="first:2")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.json", None, "cannot be read"),
        ("list.json", "[1]", "should hold settings of a study, by name; it holds a list"),
        ("broken.toml", "layer = ", "settings of a study, by name, as TOML|Python reads TOML from 3.11"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(name, text, said, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        settings_in(tmp_path / name)


def test_without_a_reader_of_toml_the_other_form_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomllib", None)
    with pytest.raises(DataError, match=r"reads TOML from 3\.11 on; write the settings as JSON"):
        settings_in(tmp_path / "mine.toml")
