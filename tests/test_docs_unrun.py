"""What pages show and no test can run here names what there is: functions, arguments, commands and their options."""

import ast
import inspect
import re
import shlex

import pytest
import typer

import tlsteer as ts
from tests.test_docs import TEXTS, quoted
from tests.test_repository import ROOT, tomllib
from tlsteer.cli import app
from tlsteer.harnesses import evaluate_tasks

COMMANDS = typer.main.get_group(app).commands
# What such blocks say of these names stands in the page's other blocks.
NAMED = {"ts": ts, "vector": ts.SteeringVector, "vectors": ts.VectorSet}
# "python" is run by tests/test_docs.py, the rest are of Sphinx.
KINDS = {"python", "py", "sh", "", "json", "{eval-rst}", "{toctree}", "{include}"}


def blocks(*kinds):
    for page, text in TEXTS.items():
        for language, block in re.findall(r"^```([^\n ]*)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            if language in kinds:
                yield pytest.param(block, id=f"{page}: {block.splitlines()[0][:40]}")


def there(node):
    """What an expression names, where that can be told without running it."""
    if isinstance(node, ast.Name):
        return NAMED.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := there(node.value)) is not None:
        return getattr(owner, node.attr)  # fails where there is none
    return None


def check_python(code):
    """Fails where code names or passes what there is not; gives what it names and calls."""
    nodes = list(ast.walk(ast.parse(code)))
    named = [there(one) for one in nodes if isinstance(one, ast.Attribute)]
    calls = [(there(one.func), one) for one in nodes if isinstance(one, ast.Call)]
    for what, call in calls:
        if what is not None:
            of_one = isinstance(call.func, ast.Attribute) and isinstance(there(call.func.value), type)
            itself = [None] * (of_one and inspect.isfunction(what))
            inspect.signature(what).bind(*itself, *call.args, **{one.arg: one.value for one in call.keywords})
    return [one for one in [*named, *(what for what, _ in calls)] if one is not None]


def check_command(words):
    """Fails where a command, a package or a file of the project that a line names is not there."""
    program, *rest = words
    if program == "uvx":
        program, *rest = rest[2:] if rest[0] == "--from" else rest
    if program == "tlsteer":
        COMMANDS[rest[0]].make_context(rest[0], rest[1:])
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif program.endswith("pip") or program == "uv":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = re.findall(r"tlsteer\[([\w,-]+)\]", " ".join(rest))
        assert {one for several in extras for one in several.split(",")} <= project["optional-dependencies"].keys()
    elif program == "inspect":
        source = ast.parse((ROOT / "tlsteer" / "harnesses" / "_inspect.py").read_text(encoding="utf-8"))
        made = next(one for one in ast.walk(source) if getattr(one, "name", "") == "__init__")
        settings = re.findall(r"-M (\w+)=", " ".join(rest))
        assert set(settings) <= {one.arg for one in (*made.args.args, *made.args.kwonlyargs)}
    else:
        assert program in {"python3", "python"}, f"nothing is known of {program!r}"


def lines_of(block):
    found = (shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines())
    return [words for words in found if words]


@pytest.mark.parametrize("block", blocks("py"))
def test_python_that_needs_what_is_not_here_names_and_calls_what_there_is(block):
    check_python(block)


@pytest.mark.parametrize("block", blocks("sh", ""))
def test_commands_of_a_page_are_there_with_their_options(block):
    for words in lines_of(block):
        check_command(words)


@pytest.mark.parametrize("page", TEXTS)
def test_commands_within_sentences_are_there_with_their_options(page):
    for text in quoted(TEXTS[page]):
        if re.match(r"tlsteer [a-z]", text):
            words = text.split()[1:]
            options = {name for one in COMMANDS[words[0]].params for name in one.opts} | {"--help"}
            assert {one for one in words if one.startswith("--")} <= options


@pytest.mark.parametrize("page", TEXTS)
def test_every_block_of_a_page_is_of_a_kind_that_is_run_or_checked(page):
    opened = re.findall(r"^```(\S*).*\n.*?^```$", TEXTS[page], re.DOTALL | re.MULTILINE)
    assert set(opened) <= KINDS


def test_the_checks_tell_what_is_not_there():
    assert evaluate_tasks in check_python('ts.harnesses.evaluate_tasks(model, ["a"], vector, limit=2)')
    for code, error in (
        ("ts.harnesses.evaluate_task(model)", AttributeError),
        ("ts.harnesses.evaluate_tasks(model, tasks=3, number=2)", TypeError),
        ("vector.push_to_hub()", TypeError),
        ("vector.push()", AttributeError),
    ):
        with pytest.raises(error):
            check_python(code)
    unknown = "make nothing", "pip install 'tlsteer[nothing]'", "cowsay a", "inspect eval a.py -M strength=1"
    for line, error in (*((one, AssertionError) for one in unknown), ("tlsteer evaluate", KeyError)):
        with pytest.raises(error):
            check_command(shlex.split(line))
    with pytest.raises(Exception, match="No such option"):  # typer's, from a module of its own
        check_command(["tlsteer", "eval", "--task", "x"])
