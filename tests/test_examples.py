"""Every public name has an example in its docstring, which runs on the embedded model and gives what it says."""

import doctest
import inspect

import matplotlib.pyplot as plt
import pytest

import tlsteer as ts
from tests.test_docs import TEXTS, python_blocks
from tests.test_front_door import ROOMS, public

# What the page of the reference says that examples take for granted.
GIVEN, *_ = python_blocks(TEXTS["api/index.md"])
# A type of someone else's under a name of ours has no docstring of ours.
NAMES = {name: thing for name, thing in public().items() if thing.__module__.startswith("tlsteer.")}


def docstrings():
    """Those of functions, classes and their own methods, by name."""
    for name, thing in NAMES.items():
        yield name, thing.__doc__
        for own, method in vars(thing).items() if inspect.isclass(thing) else ():
            if not own.startswith("_"):
                yield f"{name}.{own}", getattr(method, "__doc__", None)


EXAMPLES = {
    name: [one for one in found if not one.options.get(doctest.SKIP)]
    for name, text in docstrings()
    if (found := doctest.DocTestParser().get_examples(text or ""))
}


class WhatIsSaid(doctest.OutputChecker):
    """An example may leave out what comes of it: a picture, or figures that are the model's own."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture(scope="module")
def given():
    namespace = {}
    exec(compile(GIVEN, "docs/api/index.md", "exec"), namespace)
    return namespace


# What stands at the door and in its room runs once.
ONCE = {text: name for name, text in docstrings() if EXAMPLES.get(name)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ONCE.values())
def test_the_examples_of_a_name_give_what_they_say(name, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    room = name.partition(".")[0]
    own = getattr(getattr(ts, room), "__all__", ()) if room in ROOMS else ()
    namespace = given | {one: getattr(getattr(ts, room), one) for one in own}
    test = doctest.DocTest(EXAMPLES[name], namespace, name, None, 0, None)
    runner = doctest.DocTestRunner(WhatIsSaid(), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said = []
    runner.run(test, out=said.append)
    plt.close("all")
    assert not runner.failures, "".join(said)


def test_every_public_name_has_an_example_that_runs():
    # What starts a server or workers, or takes packages of its own, runs in the tests of its room.
    elsewhere = {"harnesses.evaluate_tasks", "harnesses.TaskScores", "serving.VLLM", "ui.serve", "cluster.workers"}
    assert {name for name in NAMES if not EXAMPLES.get(name)} == elsewhere | {"workers"}


def test_what_is_left_out_of_an_example_is_little():
    """Lines that need a network, a graphics card or other packages."""
    left_out = [
        line.source
        for name, text in docstrings()
        for line in doctest.DocTestParser().get_examples(text or "")
        if line.options.get(doctest.SKIP)
    ]
    assert len(left_out) < 25
