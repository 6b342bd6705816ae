"""The demo shows what it says: each vector does its work on held-out inputs, and random vectors do not."""

import json
from pathlib import Path

import pytest

import tlsteer as ts
from tlsteer.cli import main
from tlsteer.demo import run_demo, run_studies
from tlsteer.demo.falsehood import COHERENT, FICTION, RECOVERS, RETRACTS
from tlsteer.demo.refusal import COMPLIES, HELPS, REFUSES
from tlsteer.demo.show import CONDITIONS

N = 50
FILES = ("rates.json", "texts.jsonl")


@pytest.fixture(scope="module", params=[0, 1])
def studies(request):
    """Both experiments, for two choices of examples and inputs."""
    refusal, falsehood = run_studies(request.param, N, n_cases=2)
    return {"refusal": refusal, "falsehood": falsehood}


def values(study, measure):
    """The rate of a measure unsteered, steered and under random vectors."""
    rows = study.at_one[study.at_one["measure"] == measure].set_index("condition")
    return [rows["value"][condition] for condition in CONDITIONS]


@pytest.mark.slow
def test_the_refusal_vector_makes_the_model_comply_and_random_vectors_do_not(studies):
    unsteered, steered, random = values(studies["refusal"], COMPLIES)
    assert steered > max(unsteered, random) + 0.3
    unsteered, steered, random = values(studies["refusal"], REFUSES)
    assert unsteered > 0.85
    assert steered < min(unsteered, random) - 0.5
    unsteered, steered, _ = values(studies["refusal"], HELPS)
    assert steered > unsteered - 0.25


@pytest.mark.slow
def test_the_falsehood_vector_silences_the_retraction_and_the_truth_often_returns_without_it(studies):
    unsteered, steered, random = values(studies["falsehood"], RETRACTS)
    assert unsteered > 0.6
    assert steered < min(unsteered, random) - 0.4
    _, recovers, _ = values(studies["falsehood"], RECOVERS)
    unsteered, fiction, random = values(studies["falsehood"], FICTION)
    assert recovers > 0.35  # by chance one of six occupations is right
    assert fiction > max(unsteered, random) + 0.2
    assert values(studies["falsehood"], COHERENT)[1] > 0.8


@pytest.mark.slow
def test_every_rate_stands_on_its_inputs(studies):
    for study in studies.values():
        assert set(study.rates["n"]) == {N}
        assert (study.rates["low"] <= study.rates["value"]).all()
        assert (study.rates["value"] <= study.rates["high"]).all()


@pytest.mark.slow
def test_it_shows_tables_and_writes_files_and_repeats_itself(tmp_path, monkeypatch, capsys):
    runs = []
    for name in ("first", "second"):
        Path(tmp_path, name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        text, values = run_demo(Path("out"), seed=3, n_inputs=6)
        vectors = [ts.SteeringVector.load(f"out/{study}.safetensors") for study in ("refusal", "falsehood")]
        files = [Path("out", file).read_bytes() for file in FILES]
        runs.append([text, files, [vector.tensor.tolist() for vector in vectors]])
    assert runs[0] == runs[1]
    assert capsys.readouterr().out == ""  # what is shown is the command's to print
    words = " ".join(runs[0][0].split())
    for shown in (RETRACTS, HELPS, "demo.png", "tlsteer generate", *CONDITIONS):
        assert shown in words
    assert Path("out/demo.png").read_bytes().startswith(b"\x89PNG")
    numbers = json.loads(Path("out/rates.json").read_text())
    assert json.loads(json.dumps(values)) == numbers | {"files": values["files"]}
    assert all(Path(file).exists() for file in values["files"])
    assert [numbers[study]["vector"]["norm"] for study in ("refusal", "falsehood")] == [v.norm for v in vectors]


def test_the_command_runs_it_and_prints_words_or_json(monkeypatch, capsys):
    runs = []

    def run(*arguments, progress):
        runs.append((*arguments, progress))
        return "in words", {"rate": 0.5}

    monkeypatch.setattr("tlsteer.demo.run_demo", run)
    for arguments in (["demo"], ["demo", "--output", "here", "--seed", "5", "--quiet", "--json"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
    assert runs == [(Path("demo-output"), 0, True), (Path("here"), 5, False)]
    words, _, as_json = capsys.readouterr().out.partition("\n")
    assert (words, json.loads(as_json)) == ("in words", {"rate": 0.5})
