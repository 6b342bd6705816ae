"""What all commands share: JSON or words, with or without notes, completion, and what an interrupted one says."""

import json
from pathlib import Path

import pytest
import torch

import tlsteer as ts
from tests import small_models
from tlsteer.cli import app
from tlsteer.commands._running import Said, told

COMMANDS = [
    "demo",
    "ui",
    "fit",
    "generate",
    "sweep",
    "reliability",
    "study",
    "report",
    "view",
    "compare-runs",
    "export",
    "import",
    "info",
    "eval",
]


@pytest.fixture(scope="module")
def model():
    return small_models.saved("llama")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_json_and_is_quiet_if_asked(run, command):
    out = run(command, "--help")[1]
    assert "--json" in out
    assert "--quiet" in out


def test_json_is_all_that_is_printed(run):
    ts.VectorSet([ts.SteeringVector(torch.ones(4), site) for site in (1, 2)]).save("v.safetensors")
    status, out, _ = run("info", "v.safetensors", "--json")
    assert status == 0
    assert [one["site"] for one in json.loads(out)] == ["Site(1, 'pre')", "Site(2, 'pre')"]


def test_what_is_undefined_is_null(capsys):
    told(lambda: Said("", {"a": [float("nan"), 1.5], "b": float("inf")}))(json=True, quiet=False)
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5], "b": None}


def test_quiet_leaves_the_result_alone(run, model):
    asked = ["generate", "--model", model, "--prompt", "Hello", "--max-new-tokens", 2]
    (_, out, err), (_, quiet_out, quiet_err) = run(*asked), run(*asked, "--quiet")
    assert "float32 on cpu" in err
    assert quiet_err == ""
    assert quiet_out == out
    rows = json.loads(run(*asked, "--json", "--quiet")[1])
    assert [row["prompt"] for row in rows] == ["Hello"]
    assert rows[0]["text"] in out
    assert "float32 on cpu" in run(*asked)[2]


def test_vectors_are_estimated_from_a_file_of_pairs(run, model):
    Path("p.csv").write_text("positive,negative\nHello world,Hello thing\nWhat is it,What it is\n")
    asked = ["fit", "--model", model, "--method", "diff_means", "--pairs", "p.csv", "--output", "v.safetensors"]
    status, out, _ = run(*asked, "--layers", "1:3", "--json")
    assert status == 0
    found = json.loads(out)
    assert (found["n_pairs"], found["method"]) == (2, "diff_means")
    pairs = [ts.ContrastPair("Hello world", "Hello thing"), ts.ContrastPair("What is it", "What it is")]
    expected = ts.fit_contrastive(ts.load_model(model), pairs, [1, 2], progress=False)
    for one, other in zip(ts.VectorSet.load("v.safetensors").values(), expected, strict=True):
        assert one.site == other.site
        torch.testing.assert_close(one.tensor, other.tensor)
    status, out, _ = run(*asked, "--layer", 2, "--positions", "all")
    assert status == 0
    assert "from 2 pairs" in out
    assert ts.SteeringVector.load("v.safetensors").provenance.settings["positions"] == "'all'"


def test_an_interrupted_command_says_what_is_left_and_how_to_go_on(run, model, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tlsteer.commands._sweep_run.sweep_layers", stopped)
    monkeypatch.setattr("tlsteer.fit.fit_oneshot", stopped)
    rows = [{"question": f"Is it {i}?", "positive": "A", "negative": "B"} for i in range(4)]
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sweep = ["sweep", "q.jsonl", "--model", model, "--output", "an out"]
    status, _, err = run(*sweep)
    assert status == 130
    assert "what is done is kept in an out, and the same command resumes it:\n" in err
    assert f"  tlsteer sweep q.jsonl --model {model} --output 'an out'\n" in err
    status, _, err = run("fit", "--model", model, "--prompt", "a", "--promote", "b", "--layer", 1, "--output", "v")
    assert status == 130
    assert "v was not written; start it again:\n  tlsteer fit --model" in err
    assert not Path("v").exists()


def test_a_shell_completes_commands(monkeypatch, capsys):
    for name, value in (("_TLSTEER_COMPLETE", "complete_bash"), ("COMP_WORDS", "tlsteer swe"), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        app(prog_name="tlsteer")
    assert capsys.readouterr().out.split() == ["sweep"]
