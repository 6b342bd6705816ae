"""The front door: one declaration of each name, and every room reachable from the first touch."""

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tlsteer as ts

STUB = ast.parse((Path(ts.__file__).parent / "__init__.pyi").read_text(encoding="utf-8"))
HOMES = [(node.module, alias) for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names]
NAMES = {alias.asname: module for module, alias in HOMES if module}
ROOMS = [alias.asname for module, alias in HOMES if not module]


def test_the_stub_and_the_door_show_the_same_names():
    assert sorted([*NAMES, *ROOMS]) == sorted(ts.__all__)
    assert set(ts.__all__) <= set(dir(ts))
    assert len(HOMES) == len({alias.asname for _, alias in HOMES})
    assert len(NAMES) <= 46


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_that_of_its_home(name):
    assert getattr(ts, name) is getattr(import_module(f"tlsteer.{NAMES[name]}"), name)


def test_no_name_has_two_homes():
    """What stands at the door or in a room is exported by one room alone."""
    homes = {}
    for room in ROOMS:
        for name in getattr(import_module(f"tlsteer.{room}"), "__all__", ()):
            homes.setdefault(name, []).append(room)
    assert not {name: rooms for name, rooms in homes.items() if len(rooms) > 1}


@pytest.mark.slow
@pytest.mark.parametrize("room", ["fit", "plot", "studies"])
def test_a_room_is_there_at_the_first_touch(room):
    code = f"import tlsteer; print(tlsteer.{room}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"tlsteer.{room}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="steeer"):
        _ = ts.steeer


def public():
    """Every function and class at the door and in the rooms, by name."""
    things = {name: getattr(ts, name) for name in NAMES}
    for room in ROOMS:
        module = import_module(f"tlsteer.{room}")
        things |= {f"{room}.{name}": getattr(module, name) for name in getattr(module, "__all__", ())}
    return {name: thing for name, thing in things.items() if inspect.isfunction(thing) or inspect.isclass(thing)}


def test_every_model_that_is_taken_is_typed_as_one():
    taken = {
        f"{name}({parameter.name})": parameter.annotation
        for name, thing in public().items()
        if not (inspect.isclass(thing) and issubclass(thing, Exception))
        for parameter in inspect.signature(thing).parameters.values()
        if parameter.name in ("model", "base_model")
    }
    assert len(taken) > 30
    names = {"judges.EndpointJudge(model)", "analyse.Surprisal(model)", "serving.VLLM(model)"}  # what a model is called
    names |= {"studies.Bench(model)"}  # None once the second model has taken its place
    assert {name for name, hint in taken.items() if "Model" not in str(hint)} == names


def test_no_function_takes_more_than_a_dozen_things():
    """What is handed on is one of them, and typed, so that editors complete it."""
    many, untyped = {}, {}
    for name, thing in public().items():
        own = vars(thing).items() if inspect.isclass(thing) else [("", thing)]
        for method, function in own:
            function = getattr(function, "__func__", function)
            if not inspect.isfunction(function) or method.startswith("_"):
                continue
            parameters = inspect.signature(function).parameters.values()
            if len(parameters) > 12:
                many[f"{name}.{method}".rstrip(".")] = len(parameters)
            handed_on = [str(one.annotation) for one in parameters if one.kind is one.VAR_KEYWORD]
            if handed_on and not handed_on[0].startswith("Unpack["):
                untyped[f"{name}.{method}".rstrip(".")] = handed_on
    assert not many
    named = {"Model.run_with_cache", "Model.run_with_hooks", "Model.generate"}  # TransformerLens's own
    named |= {"chat_prompt"}  # what the model's own template asks for
    named |= {"studies.Study.run", "studies.Study.plan"}  # the fields of the preset, which each study has of its own
    named |= {"chat_prompt"}  # what a model's own template knows
    named |= {"studies.Bench.result"}  # the fields of `StudyResult`, for those who write a study
    assert set(untyped) == named


def test_the_model_comes_first_and_then_what_is_applied():
    """A model that may be left out is given by name, and so is what may be applied or not."""
    late = {}
    for name, function in public().items():
        if not inspect.isfunction(function):
            continue
        by_place = [one for one in inspect.signature(function).parameters.values() if one.kind is not one.KEYWORD_ONLY]
        order = [one.name for one in by_place if one.default is one.empty]
        models = [one.name for one in by_place if one.name == "model" or one.name.endswith("_model")]
        applied = [one for one in order if one in ("vector", "vectors", "interventions")]
        if order and models and (order[0] != models[0] or (applied and order[1] != applied[0])):
            late[name] = order
    assert not late


def test_every_function_says_what_it_gives():
    given = {
        name: inspect.signature(thing).return_annotation
        for name, thing in public().items()
        if inspect.isfunction(thing)
    }
    # What was kept is whatever was given to keep.
    assert {name for name, hint in given.items() if hint in (inspect.Signature.empty, "Any")} == {"runs.load_kept"}
