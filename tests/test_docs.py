"""What the pages in docs/ show runs, and what they name is there."""

import ast
import re

import matplotlib.pyplot as plt
import pytest

from docs.gallery import BLOCK
from tests.test_repository import PACKAGE, ROOT, TREES, tomllib

DOCS = ROOT / "docs"
PAGES = {page.relative_to(DOCS).as_posix(): page for page in sorted(DOCS.rglob("*.md"))}
FILES = PAGES | {name: ROOT / name for name in ("README.md", "CONTRIBUTING.md")}
TEXTS = {name: page.read_text(encoding="utf-8") for name, page in FILES.items()}
# A table of contents, a page that is another's text, and those whose packages have environments of their own.
WITHOUT_CODE = {"index.md", "speed.md", "api/harnesses.md", "api/serving.md"}


def python_blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def quoted(text):
    """What stands in backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PAGES.keys() - WITHOUT_CODE))
def test_the_python_of_a_page_runs_in_order(name, tmp_path, monkeypatch):
    if name == "serving.md":
        pytest.importorskip("vllm")  # in an environment of its own, where `make test-vllm` runs this too
    monkeypatch.chdir(tmp_path)
    assert python_blocks(TEXTS[name])
    namespace = {"__name__": "docs_" + re.sub(r"\W", "_", name)}
    for number, block in enumerate(python_blocks(TEXTS[name])):
        exec(compile(block, f"{name}, Python block {number}", "exec"), namespace)
    plt.close("all")


def test_a_recipe_has_ten_lines_or_fewer():
    _, *recipes = python_blocks(TEXTS["recipes.md"])
    assert len(recipes) > 10
    assert max(len([line for line in recipe.splitlines() if line]) for recipe in recipes) <= 10


def test_every_picture_of_the_gallery_is_drawn_by_code_that_stands_above_it():
    drawn = {DOCS / name for _, name in BLOCK.findall(TEXTS["gallery.md"]) if name}
    assert drawn == set((DOCS / "pictures").iterdir())
    assert len(drawn) == TEXTS["gallery.md"].count("![")
    assert sum(picture.stat().st_size for picture in drawn) < 1_000_000


NAMED = {
    name: [one for one in quoted(text) if re.fullmatch(r"[\w./-]*(\.py|\.pyi|\.md|/)", one)]
    for name, text in TEXTS.items()
}


@pytest.mark.parametrize("name", [name for name, named in NAMED.items() if named])
def test_files_and_folders_that_a_page_names_are_there(name):
    places = [ROOT, PACKAGE]
    written_by_runs = {"config.json", "report.html", "demo-output/"}
    assert not [
        one for one in NAMED[name] if one not in written_by_runs and not any((at / one).exists() for at in places)
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_links_of_a_page_lead_somewhere(name):
    folder = FILES[name].parent
    links = re.findall(r"\]\(([^)#]+)\)", TEXTS[name])
    assert not [one for one in links if not one.startswith("http") and not (folder / one).exists()]


def test_every_address_of_the_project_is_that_of_its_metadata():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source, site = (project["urls"][one].removeprefix("https://") for one in ("Source", "Documentation"))
    notebooks = {f"notebooks/{path.name}": path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").iterdir()}
    found = [
        (name, address)
        for name, text in (TEXTS | notebooks).items()
        for address in re.findall(r"github(?:\.com)?/([\w.-]+/tlsteer)\b|([\w-]*tlsteer[\w-]*\.readthedocs\.io)", text)
    ]
    assert ("README.md", ("", site)) in found
    assert {one for _, pair in found for one in pair if one} == {source.removeprefix("github.com/"), site}


def test_each_promise_is_held_by_tests_that_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXTS["design.md"])
    assert len(named) > 10
    for file, test in named:
        functions = {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if hasattr(node, "name")}
        assert test in functions, f"{file} has no {test}"


def test_every_room_is_on_the_map():
    rooms = {path.name + "/" * path.is_dir() for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    rooms -= {"_version.py", "py.typed"}
    on_map = {one.removeprefix("tlsteer/") for one in quoted(TEXTS["design.md"])}
    assert not {room for room in rooms if room not in on_map}


def test_every_request_is_in_the_table_of_executors():
    """A class with units, each of which knows what its value depends on, is a request."""
    requests = {
        node.name
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and {"__len__", "parts", "run"} <= {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
        and "Protocol" not in {ast.unparse(base) for base in node.bases}
    }
    table = re.findall(r"^\| `(\w+)` \| `([\w/]+)`", TEXTS["executors.md"], re.MULTILINE)
    assert {name for name, _ in table} == requests
    for name, folder in table:
        assert any(f"class {name}" in path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py"))
