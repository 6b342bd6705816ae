"""`tlsteer reliability`: one command writes a whole run folder, goes on where it stopped, and refuses early."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import tlsteer as ts
from tests import small_models
from tests.public_files import EVALS
from tlsteer.cli import app, main
from tlsteer.commands import _reliability_run as module
from tlsteer.commands import _run_parts as parts
from tlsteer.evaluate._across import AcrossDatasets
from tlsteer.evaluate._many_datasets import reliability_across

MULTIPLIERS = ["--multiplier", "-1", "--multiplier", "0", "--multiplier", "1"]


@pytest.fixture(scope="module")
def model():
    return small_models.saved("llama")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": f"Is it {i}?\n(A) Yes\n(B) No", "positive": "AB"[i % 2], "negative": "BA"[i % 2], "prefill": "("}
        | {"letter": "AB"[i % 2]}
        for i in range(24)
    ]
    for name, some in (("one", rows), ("other", rows[:20])):
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["reliability", *map(str, arguments)])


@pytest.mark.slow
def test_a_method_on_two_files_gives_a_whole_folder(model):
    done = run(
        "diff_means", "--model", model, "--data", "one.jsonl", "--data", "other.jsonl", "--layers", "1:3",
        *MULTIPLIERS, "--random", 1, "--output", "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    out = Path("out")
    assert (out / "summary.md").read_text().startswith(f"# Reliability of diff_means on {model} (float32 on cpu)\n")
    pictures = {file.stem for file in (out / "pictures").iterdir()}
    assert pictures == {"steerability", "variance", "layers", "propensity-one", "propensity-other"}
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in (out / "pictures").iterdir())
    found = AcrossDatasets.load(out)
    table = pd.read_csv(out / "table.csv")
    assert table["dataset"].tolist() == ["one", "other"]
    assert set(pd.read_csv(out / "sweep.csv")["layer"]) == {1, 2}
    assert found.reports["other"].curve.sizes["sample"] == 10
    assert pd.read_csv(out / "reports" / "one.csv")["measure"].iloc[0] == "steerability"
    assert ts.SteeringVector.load(out / "vectors" / "one.safetensors").site.layer in (1, 2)
    summary = (out / "summary.md").read_text()
    assert found.reports["one"].verdict.splitlines()[0] in summary
    assert summary.strip() in done.output
    config = json.loads((out / "config.json").read_text())
    assert config["data"]["one"]["n"] == 24
    assert {"tlsteer", "torch", "transformer-lens"} <= set(config["versions"])


def test_a_saved_vector_is_measured_on_all_questions(model):
    ts.SteeringVector(torch.ones(small_models.WIDTH), 1).save("v.safetensors")
    done = run(
        "v.safetensors", "--model", model, "--data", "one.jsonl", *MULTIPLIERS, "--random", 1, "--questions", 9,
        "--output", "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = AcrossDatasets.load("out")
    assert found.reports["one"].curve.sizes["sample"] == 9
    assert found.sweep is None


@pytest.mark.parametrize("other", [dict(site=2), dict(operation="ablate"), dict(tensor=2 * torch.ones(32))], ids=str)
def test_a_folder_of_one_vector_is_not_taken_up_with_another(model, other):
    vector = dict(tensor=torch.ones(32), site=1)
    arguments = [
        "v.safetensors",
        "--model",
        model,
        "--data",
        "one.jsonl",
        *MULTIPLIERS,
        "--random",
        0,
        "--output",
        "out",
    ]
    ts.SteeringVector(**vector).save("v.safetensors")
    assert run(*arguments).exit_code == 0
    ts.SteeringVector(**(vector | other)).save("v.safetensors")
    with pytest.raises(ts.DataError, match="vector_hash"):
        raise run(*arguments).exception


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_gives_what_an_uninterrupted_one_gives(model, monkeypatch):
    arguments = ["diff_means", "--model", model, "--data", "one.jsonl", "--layers", "1,2", *MULTIPLIERS, "--random", 1]

    def stopped(*arguments, **settings):
        reliability_across(*arguments, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "reliability_across", stopped)
    assert run(*arguments, "--output", "out").exit_code != 0
    monkeypatch.setattr(module, "reliability_across", reliability_across)
    kept = {file: file.stat().st_mtime_ns for file in Path("out/units/work").iterdir()}
    assert kept
    assert not Path("out/summary.md").exists()
    assert run(*arguments, "--output", "out").exit_code == 0
    assert {file: file.stat().st_mtime_ns for file in Path("out/units/work").iterdir()} == kept
    assert run(*arguments, "--output", "whole").exit_code == 0
    assert Path("out/table.csv").read_text() == Path("whole/table.csv").read_text()
    assert Path("out/summary.md").read_text() == Path("whole/summary.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("diff_mean --data one.jsonl --output out", "'diff_mean' is neither a file nor a method"),
        ("one.jsonl --data one.jsonl --output out", "a saved steering vector is needed"),
        ("v.safetensors --data one.jsonl --layers 2 --output out", "stays at Site(1, 'pre')"),
        ("pca --data nothing.jsonl --model gpt2 --output out", "'nothing.jsonl' cannot be read"),
        ("pca --data nothing --output out", "traits are power, risk"),
        ("pca --data one.jsonl --data sub/one.jsonl --output out", "two datasets are called 'one'"),
        ("pca --data one.jsonl --output taken", "holds 'file' and no run"),
        ("pca --data one.jsonl --output old", "is a run with seed = 7, and now it is 0"),
        ("pca --data one.jsonl --questions 2 --output out", "dataset 'one': 2 questions are too few"),
        ("pca --data one.jsonl --multiplier 1 --output out", "at least two different multipliers, got [1.0]"),
        (f"pca --data one.jsonl --output {'x' * 300}", "cannot be written: File name too long"),
        (f"{'x' * 300} --data one.jsonl --output out", "is neither a file nor a method"),
        (f"pca --data {'x' * 300} --output out", "there is no file 'xxx"),
        ("pca --data one.jsonl --layers 3:2 --output out", "--layers '3:2': use"),
        ("pca --data one.jsonl --layers all --output out", "--layers 'all': use"),
        ("pca --data one.jsonl --positions last:x --output out", 'use "last:5"'),
    ],
)
def test_bad_input_is_refused_before_the_model_is_loaded(arguments, said, monkeypatch, capsys):
    ts.SteeringVector(torch.ones(small_models.WIDTH), 1).save("v.safetensors")
    Path("taken").mkdir()
    Path("taken/file").write_text("")
    monkeypatch.setattr(parts, "load_model", lambda *_: pytest.fail("the model was loaded"))
    if "old" in arguments:
        monkeypatch.setattr(parts, "load_model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(["reliability", *arguments.split(), "--seed", "7"])
        monkeypatch.setattr(parts, "load_model", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(SystemExit) as end:
        main(["reliability", *arguments.split()])
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert err.startswith("tlsteer: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_the_embedded_models_traits_stand_for_data():
    done = run(
        "diff_means", "--data", "risk", "--questions", 20, "--layers", "6", *MULTIPLIERS, "--random", 0,
        "--positions", "last:1", "--output", "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "## risk (layer 6, " in done.output


@pytest.mark.slow
def test_public_files_run_end_to_end_in_a_process_of_their_own(model, folder):
    # The questions are longer than what other tests need.
    longer = shutil.copytree(model, folder / "longer")
    config = json.loads((longer / "config.json").read_text())
    (longer / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}))
    data = [part for file in EVALS for part in ("--data", str(file))]
    done = subprocess.run(
        [sys.executable, "-m", "tlsteer", "reliability", "pca", "--model", str(longer), *data, "--questions", "20",
         "--layers", "1:3", *MULTIPLIERS, "--random", "1", "--positions", "last:1", "--output", "out"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = AcrossDatasets.load("out")
    assert list(found.reports) == [file.stem for file in EVALS]
    assert all(report.steerability.n == 10 for report in found.reports.values())
    assert {"letter", "word"} <= set(found.reports["interest-in-science"].variance_explained)
