"""What holds for the repository as a whole: citation, light imports, layers, no pickle, checked shapes."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import jaxtyping
import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings there

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tlsteer"
PUBLIC_FILES = ROOT / "tests" / "data" / "public"

# Lowest first: a module may import from its own layer and from lower ones.
LAYERS = [
    {
        "version",
        "numbers",
        "errors",
        "arguments",
        "results",
        "sites",
        "position_texts",
        "positions",
        "operations",
        "stats",
        "keys",
        "keywords",
        "storage",
        "json_files",
        "store",
        "bars",
        "vector_files",
        "dataset_files",
        "references",
        "hub_files",
        "vector_cards",
    },
    {"model_type", "turns", "passes", "middle"},
    {
        "loading",
        "identity",
        "surface",
        "belonging",
        "vector_hooks",
        "vectors",
        "vector_sets",
        "models",
        "tokens",
        "token_labels",
        "prompts",
        "data",
        "organism",
    },
    {"steering"},
    {"lean"},
    {"residuals"},
    {"continuing", "generation", "scoring", "exchange"},
    {"measure", "serving"},
    {"cluster"},
    {"fit"},
    {"judges", "trials"},
    {"evaluate", "harnesses"},
    {"analyse"},
    {"runs"},
    {"studies"},
    {"plot", "report", "saved", "views"},
    {"demo", "ui", "commands"},
    {"cli"},
    {"__main__", "__init__"},
]
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}

HEAVY = {"torch", "transformers", "transformer_lens", "matplotlib", "pandas", "xarray", "scipy", "sklearn"}
RUNS_CODE_ON_LOAD = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def module_name(path: Path) -> str:
    """`tlsteer/fit/_oneshot.py` -> `tlsteer.fit._oneshot`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


def imported_names(module: str) -> set[str]:
    """Every name a module imports, dotted and absolute, wherever in the file the import stands."""
    package = module if SOURCES[module].name == "__init__.py" else module.rpartition(".")[0]
    names = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def imported_modules(module: str) -> set[str]:
    """The tlsteer modules a module imports."""
    found = set()
    for name in imported_names(module):
        while name.split(".")[0] == "tlsteer" and name not in SOURCES:
            name = name.rpartition(".")[0]
        if name in SOURCES:
            found.add(name)
    return found - {module}


def layer(module: str) -> int:
    """`tlsteer.fit._oneshot` -> the layer of `fit`; the package itself -> the layer of `__init__`."""
    # A leading underscore says that a module is private, not where it stands.
    name = module.split(".")[1] if "." in module else "__init__"
    name = name if name.startswith("__") else name.lstrip("_")
    assert name in LAYER_OF, f"{SOURCES[module]} has no layer yet: give {name!r} one in LAYERS"
    return LAYER_OF[name]


def test_imports_point_downward():
    upward = [
        f"{module} imports {other}"
        for module in SOURCES
        for other in imported_modules(module)
        if layer(other) > layer(module)
    ]
    assert not upward, upward


def test_modules_do_not_import_each_other_in_a_circle():
    # A package and its own modules may know each other: gathering their names is what __init__ is for.
    graph = {
        module: {other for other in imported_modules(module) if not module.startswith(f"{other}.")}
        for module in SOURCES
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def requirements():
    """The distributions that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"]] + [one for extra in project["optional-dependencies"].values() for one in extra]
    return {normal(re.match(r"[\w-]+", one)[0]) for one in asked}


def normal(distribution):
    return distribution.replace("_", "-").lower()


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    names = {name.split(".")[0] for module in SOURCES for name in imported_names(module)}
    known = packages_distributions()
    found = {
        name: {normal(one) for one in known.get(name, [name])}
        for name in names - set(sys.stdlib_module_names) - {"tlsteer"}
    }
    declared = requirements()
    assert not {name for name, several in found.items() if not several & declared}
    assert not declared - set().union(*found.values())


def test_loading_never_runs_code():
    offences = []
    for module, tree in TREES.items():
        offences += [
            f"{module} imports {name}" for name in imported_names(module) if name.split(".")[0] in RUNS_CODE_ON_LOAD
        ]
        offences += [f"{module} imports torch.load" for name in imported_names(module) if name == "torch.load"]
        # Files of other tools are PyTorch's: there, and nowhere else, tensors and plain types alone are let through.
        harmless = {
            id(node.func)
            for node in ast.walk(tree)
            if module == "tlsteer.exchange._containers"
            and isinstance(node, ast.Call)
            and ast.unparse(node) == "torch.load(path, weights_only=True, map_location='cpu')"
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load" and id(node) not in harmless:
                offences.append(f"{module}:{node.lineno} uses torch.load")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                offences.append(f"{module}:{node.value.lineno} allows pickle")
    assert not offences, offences


def run_and_imports(*arguments, status=0):
    """What Python says on stderr, and the packages it imports."""
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    lines = done.stderr.splitlines()
    said = "\n".join(line for line in lines if not line.startswith("import time:"))
    return said, {line.rpartition("|")[2].strip().split(".")[0] for line in lines if line.startswith("import time:")}


@pytest.mark.parametrize("command", [["-c", "import tlsteer"], ["-m", "tlsteer", "--help"]], ids=["import", "help"])
def test_heavy_libraries_are_not_imported_by(command):
    imported = run_and_imports(*command)[1]
    assert "tlsteer" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("fit --layer one --output v", "Invalid value for '--layer'"),
        ("fit --prompt a --promote b --output v", "tlsteer: give either --layer (with --stage) or --site"),
        ("fit --prompt a --layer 1 --output v", "tlsteer: an example needs at least one completion"),
        (
            "fit --prompt a --promote b --layer 1 --positions last:x --output v",
            "tlsteer: --positions 'last:x' is unknown",
        ),
        ("fit --examples nothing.jsonl --layer 1 --output v", "tlsteer: 'nothing.jsonl' cannot be read"),
        ("generate --prompt a --multiplier 2", "tlsteer: --multiplier needs a --vector"),
        ("generate --prompts-file nothing.txt", "tlsteer: 'nothing.txt' cannot be read"),
        ("generate --prompt a --output /dev/null", "tlsteer: '/dev/null' cannot be written"),
        ("reliability pca --data power --layers x --output out", "tlsteer: --layers 'x': use"),
        ("study nothing", "tlsteer: there is no study 'nothing'"),
        ("info nothing.safetensors", "tlsteer: there is no file 'nothing.safetensors'"),
    ],
)
def test_bad_arguments_are_refused_before_heavy_libraries_are_imported(arguments, said):
    stderr, imported = run_and_imports("-m", "tlsteer", *arguments.split(), status=2)
    assert said in stderr
    assert not imported & HEAVY


def test_wrong_shapes_raise_under_pytest():
    import torch

    from tlsteer.operations import Add, edited

    residual = torch.zeros(2, 3, 8)
    edited(Add(), residual, torch.zeros(1, 8))
    with pytest.raises(jaxtyping.TypeCheckError):
        edited(Add(), residual, torch.zeros(1, 7))


def test_public_files_are_small_and_come_with_source_and_licence():
    about = (PUBLIC_FILES / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in about.splitlines() if line.startswith("| `")]
    named = {file for _, name, *_ in rows for file in PUBLIC_FILES.glob(name.strip(" `"))}
    assert named == {file for file in PUBLIC_FILES.rglob("*") if file.is_file()} - {PUBLIC_FILES / "README.md"}
    assert all("https://github.com/" in source and licence.strip() for *_, source, licence, _ in rows)
    assert sum(file.stat().st_size for file in named) < 200_000


def test_a_release_is_published_without_a_token_and_only_after_it_was_built_and_switched_on():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert build["if"] == "vars.PUBLISH_TO_PYPI == 'true'"
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write"}
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in str(workflow)


def test_citation_names_the_software_its_version_and_both_papers():
    from tlsteer._version import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == citation["preferred-citation"]["version"] == __version__
    assert citation["preferred-citation"]["type"] == "software"
    papers = {identifier["value"] for paper in citation["references"] for identifier in paper["identifiers"]}
    assert papers == {"arXiv:2502.18862", "arXiv:2407.12404"}


def test_imports_are_absolute():
    relative = [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative  # stubs of lazy packages alone have others, which the loader asks for


def defined(tree):
    """The public functions and classes of a module."""
    kinds = ast.FunctionDef | ast.ClassDef
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def test_no_module_is_named_as_its_only_function():
    """A command is a file of its name."""
    named = {module.rpartition(".")[2]: (module, defined(tree)) for module, tree in TREES.items()}
    alike = [module for name, (module, names) in named.items() if set(names) == {name}]
    assert not [module for module in alike if not module.startswith("tlsteer.commands.")]


def test_what_a_package_offers_hides_none_of_its_modules():
    hidden = {
        f"{module}.{alias.asname or alias.name}"
        for module, tree in TREES.items()
        if SOURCES[module].name == "__init__.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not (node.module or "").endswith("lazy_loader")
        for alias in node.names
        if f"{module}.{alias.asname or alias.name}" in SOURCES and f"{node.module}.{alias.name}" not in SOURCES
    }
    assert not hidden


def test_files_of_one_name_have_one_meaning():
    """Pictures and commands are named as what they show, the parts of a study as each other, subjects by subject."""
    mirrors = ("plot", "commands", "studies", "demo", "report", "views", "organism.training.quality")
    places = {}
    for module in SOURCES:
        room, _, name = module.removeprefix("tlsteer.").rpartition(".")
        if not room.startswith(mirrors) and SOURCES[module].name != "__init__.py":
            places.setdefault(name.lstrip("_"), []).append(module)
    same = {
        "residuals": "residuals of texts, and the request for them",
        "choices": "questions with two answers, and those of the embedded model's world",
    }
    twice = {name: several for name, several in places.items() if len(several) > 1}
    assert set(twice) - set(same) == set(), twice
