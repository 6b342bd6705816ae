"""What the README shows runs: its Python in order, and its tlsteer commands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tlsteer as ts
from tlsteer.organism.judges import refuses

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands():
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("tlsteer ")]


@pytest.mark.slow
def test_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    known, *others = blocks("python")
    assert '"google/gemma-2-2b-it"' in known
    for number, block in enumerate([known.replace("google/gemma-2-2b-it", "organism"), *others]):
        exec(compile(block, f"README.md, Python block {number}", "exec"), namespace)
    unsteered, steered = (
        ts.generate(namespace["model"], namespace["prompt"], vectors)[0] for vectors in ((), namespace["vector"])
    )
    assert refuses(unsteered)
    assert not refuses(steered)
    assert namespace["receipt"].entries[0].n_positions > 0
    assert namespace["vector"].cosine(namespace["fit"].vector) == pytest.approx(1)
    assert namespace["report"].steerability.low > 0


@pytest.mark.slow
def test_commands_run(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in commands():
        done = subprocess.run(
            [sys.executable, "-m", "tlsteer", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert {command[0] for command in commands()} == {"fit", "generate", "info", "reliability"}


def test_make_targets_exist():
    makefile, contributing = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "CONTRIBUTING.md"))
    needed = ((README, {"demo", "test"}), (contributing, {"test", "docs", "test-lowest"}))
    for page, expected in needed:
        named = re.findall(r"\bmake ([a-z0-9-]+)", "".join(re.findall(r"```\n(.*?)```", page, re.DOTALL)))
        assert expected <= set(named)
        for target in named:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_two_commands_are_in_the_first_screen():
    first_screen = README.split("\n## ")[0]
    assert "make demo" in first_screen
    assert "make test" in first_screen
