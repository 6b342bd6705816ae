"""`tlsteer study`, `report` and `compare-runs`: a study in a folder with its page, and two of them side by side."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from tests.studies.example import example as study
from tlsteer.cli import app, main
from tlsteer.errors import DataError, WorkerError
from tlsteer.runs import RunDirectory
from tlsteer.studies import Study, study_names


def run(*arguments):
    found = CliRunner().invoke(app, [*map(str, arguments)])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.output


@pytest.fixture
def asked(monkeypatch):
    """What each study was called with; none of them runs."""
    calls = {}

    def instead(self, model, *, run_dir, **given):
        calls[self.name] = {"model": model} | {name: value for name, value in given.items() if value is not None}
        result = study()
        result.save(run_dir)
        return result

    monkeypatch.setattr(Study, "run", instead)
    return calls


@pytest.mark.parametrize("name", study_names())
def test_every_study_is_run_in_its_folder_and_gives_its_page(name, asked, tmp_path):
    said = run("study", name, "--output", tmp_path / "run", "--seed", 3, "--data", "a.json", "--judge", "substrings")
    assert asked == {
        name: {"model": "organism", "data": "a.json", "judge": "substrings", "seed": 3, "progress": True},
    }
    page = tmp_path / "run" / "report.html"
    assert page.exists()
    assert str(page) in said.replace("\n", "")
    for finding in study().findings:
        assert str(finding) in said


def test_settings_of_a_study_are_options(asked, tmp_path):
    own = ["--layer", 14, "--refusals", "I cannot", "--refusals", "Sorry", "--n-fits=4", "--preset", "mine.json"]
    run("study", "refusal", "--output", tmp_path / "run", "--model", "some/model", *own)
    assert asked["refusal"] == {
        "model": "some/model", "preset": "mine.json", "layer": "14", "refusals": ["I cannot", "Sorry"], "n_fits": "4",
        "seed": 0, "progress": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layr", "3"], r"no option --layr \(did you mean --layer\?\); the settings of this study are .*--n-fits"),
        (["--modle", "x"], r"no option --modle \(did you mean --model\?\)"),
        (["--layer"], "--layer needs a value"),
        ([], r"no preset for 'nobody/x'; give --preset one of .*with layer and refusals.*\(--layer, --refusals\)"),
        (["--layer", "x", "--refusals", "No"], "--layer 'x' is no int"),
        (["--layer", "3", "--refusals", "No"], "needs harmful requests: give --data rows with"),
        (["--layer", "3", "--refusals", "No", "--data", "a.json"], "'a.json' cannot be read|a.json"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_words_of_the_command_line(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["study", "refusal", "--model", "nobody/x", *words])
    message = capsys.readouterr().err
    assert re.search(said, message)
    assert not re.search(r"\b\w+=", message)


def test_a_study_says_on_what_it_ran(monkeypatch, tmp_path):
    ran = {"name": "organism", "dtype": "bfloat16", "device": "cpu"}
    result = replace(study(), config={"study": "refusal", "model": ran})
    monkeypatch.setattr(Study, "run", lambda self, model, run_dir, **_: (result.save(run_dir), result)[1])
    assert "Run on organism (bfloat16 on cpu)." in run("study", "refusal", "--output", tmp_path / "run")


def test_ctrl_c_says_how_to_go_on(monkeypatch, tmp_path):
    def interrupted(self, *_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", interrupted)
    found = CliRunner().invoke(app, ["study", "refusal", "--output", str(tmp_path / "run")])
    assert found.exit_code == 130
    assert f"kept in {tmp_path / 'run'}, and the same command resumes it" in found.output.replace("\n", " ")


def test_a_run_of_other_versions_goes_on_where_that_is_accepted(monkeypatch, tmp_path):
    def running(self, model, run_dir, **_):
        with RunDirectory(run_dir, {"study": "refusal"}) as run:
            result = replace(study(), config=run.config)
            result.save(run_dir)
        return result

    monkeypatch.setattr(Study, "run", running)
    command = ["study", "refusal", "--output", tmp_path]
    run(*command)
    config = json.loads((tmp_path / "config.json").read_text())
    config["versions"]["torch"] = "0.0"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"versions\.torch = '0\.0'.*resume it with --accept-versions"):
        run(*command)
    run(*command, "--accept-versions")
    assert "torch 0.0, " in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_several_files_are_given_as_a_list(asked, tmp_path):
    run("study", "persona-reliability", "--output", tmp_path, "--data", "a.jsonl", "--data", "b.jsonl")
    assert asked["persona-reliability"]["data"] == ["a.jsonl", "b.jsonl"]


def test_what_does_not_exist_is_refused_with_what_does():
    with pytest.raises(DataError, match="there is no study 'refusals'; the studies are alignment-faking, emergent"):
        run("study", "refusals")


def test_an_option_that_a_study_does_not_take_is_refused_before_it_runs(tmp_path):
    with pytest.raises(DataError, match="'alignment-faking' takes no judge"):
        run("study", "alignment-faking", "--output", tmp_path, "--data", "a", "--judge", "organism")
    assert not list(tmp_path.iterdir())


def test_a_page_is_written_anew_and_runs_are_compared(tmp_path):
    folders = [study().save(tmp_path / name) for name in "ab"]
    page = folders[0] / "report.html"
    assert str(page) in run("report", folders[0]).replace("\n", "")
    assert page.exists()
    assert "No setting differs." in run("compare-runs", *folders)


def test_an_engine_and_workers_are_not_asked_for_together():
    with pytest.raises(WorkerError, match="--engine"):
        run("study", "refusal", "--engine", "vllm", "--workers", "ray", "--n-workers", 2)


def test_a_plan_is_of_this_machine_and_takes_no_workers():
    with pytest.raises(WorkerError, match="on this machine alone"):
        run("study", "refusal", "--plan", "--workers", "ray", "--n-workers", 2)
