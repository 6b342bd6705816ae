"""The frame of studies, on one of one's own: what is given is checked first, kept, resumed, and can be repeated."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import tlsteer as ts
from tests.small_models import loaded, saved
from tests.test_elsewhere import Here
from tlsteer.cli import app
from tlsteer.data import data_hash
from tlsteer.errors import DataError, ModelError
from tlsteer.runs import about_model
from tlsteer.stats import rate
from tlsteer.studies import (
    Bench,
    Finding,
    PlannedWork,
    Study,
    StudyPreset,
    StudyResult,
    _frame,
    find_study,
    judge_or,
    study_names,
)


@dataclass(frozen=True, kw_only=True)
class Preset(StudyPreset):
    max_new_tokens: int = 4


@dataclass(frozen=True)
class Prompts:
    texts: list[str]

    @property
    def hash(self) -> str:
        return data_hash(self.texts)


MEASURED = []


def measure(bench: Bench[Preset, Prompts]) -> pd.DataFrame:
    def written():
        MEASURED.append(bench.preset.max_new_tokens)
        texts = ts.generate(bench.model, bench.data.texts, max_new_tokens=bench.preset.max_new_tokens, progress=False)
        return pd.DataFrame({"prompt": bench.data.texts, "text": texts, "condition": "unsteered"})

    bench.begin("writing texts")
    texts = bench.run.unit("texts", written)
    if bench.preset.other is not None:
        texts["text"] += about_model(bench.second_model())["dtype"]
    return texts


def report(bench: Bench[Preset, Prompts], texts: pd.DataFrame) -> StudyResult:
    long = rate(int((texts["text"].str.len() > 3).sum()), len(texts))
    return bench.result(headline="It writes.", findings=[Finding("long texts", "unsteered", long)], texts=texts)


OWN = Study(
    name="own",
    question="Does it write?",
    references=["tan2024analysing"],
    departures=["There is no paper."],
    presets={"organism": Preset(), "other": Preset(max_new_tokens=2)},
    needs="prompts: give data= a file of lines",
    embedded_data=lambda preset, seed: Prompts(["Hello", f"What is {seed}?"]),
    read_data=lambda data, preset, seed: Prompts(Path(data).read_text().splitlines()),
    measure=measure,
    report=report,
    work=lambda preset, data: [PlannedWork("writing texts", "write", len(data.texts), preset.max_new_tokens)],
)
JUDGED = Study(**{**vars(OWN), "judge": judge_or("organism", "texts"), "takes_other": True, "default": Preset()})


def run(study=OWN, **settings):
    return study.run(settings.pop("model", loaded("llama")), progress=False, **settings)


@pytest.fixture
def lines(tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("Hello\nWorld")
    return file


def test_a_study_of_ones_own_is_one_object_and_runs_by_its_place(tmp_path):
    ran = CliRunner().invoke(
        app, ["study", f"{__name__}:OWN", "--output", str(tmp_path / "run"), "--seed", "3"], catch_exceptions=False
    )
    assert ran.exit_code == 0, ran.output
    assert ran.output.startswith("Does it write?\n\nIt writes.")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "There is no paper." in page
    result = StudyResult.load(tmp_path / "run")
    assert result.texts["prompt"].tolist() == ["Hello", "What is 3?"]


@pytest.mark.parametrize("progress", [True, False])
def test_parts_of_the_work_are_told_to_whoever_wants_progress(progress, lines, capsys):
    OWN.run(loaded("llama"), data=lines, preset=Preset(), progress=progress)
    told = r"1 of 1: writing texts: 2 of 4 new tokens; about \d+ seconds left at most\n"
    assert (re.search(told, capsys.readouterr().err) is not None) == progress


def test_the_result_has_what_the_frame_knows(lines, tmp_path):
    result = run(data=lines, preset="other", seed=5, run_dir=tmp_path / "run")
    assert (result.name, result.question, result.headline) == ("own", "Does it write?", "It writes.")
    assert result.references == ["tan2024analysing"]
    config = result.config
    assert (config["study"], config["seed"], config["preset"]["max_new_tokens"]) == ("own", 5, 2)
    assert config["data"] == {"from": str(lines), "hash": Prompts(["Hello", "World"]).hash}
    assert config["model"]["name"] == "tiny-llama"
    assert result.warnings == ["Near-empty cells, which say next to nothing: long texts, unsteered (n=2)."]


def test_a_run_is_resumed_and_that_of_other_data_is_refused(lines, tmp_path):
    MEASURED.clear()
    settings = {"data": lines, "preset": Preset(max_new_tokens=3), "run_dir": tmp_path / "run"}
    first, second = run(**settings), run(**settings)
    assert MEASURED == [3]
    pd.testing.assert_frame_equal(first.texts, second.texts)
    lines.write_text("Something else")
    with pytest.raises(DataError, match=r"data\.hash"):
        run(**settings)


@pytest.mark.parametrize(
    ("study", "settings", "message"),
    [
        (OWN, {}, "no preset for 'some/model'; give preset= one of organism, other"),
        (OWN, {"preset": "third"}, "no preset 'third'"),
        (OWN, {"preset": "other"}, "'own' needs prompts: give data= a file of lines"),
        (OWN, {"preset": "other", "judge": "substrings"}, "takes no judge"),
        (OWN, {"preset": "other", "other": "organism"}, "takes no second model"),
        (
            OWN,
            {"preset": "other", "n_tokens": 3},
            r"'n_tokens' in Preset \(did you mean 'max_new_tokens'\?\); there are: other, dtype, batch_size",
        ),
        (JUDGED, {"data": "lines"}, "needs a judge of texts"),
        (JUDGED, {"data": "lines", "judge": "nobody"}, "no judge 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(study, settings, message, lines, monkeypatch):
    monkeypatch.setattr(_frame, "load_model", lambda *_, **__: pytest.fail("loaded"))
    settings = settings | ({"data": lines} if "data" in settings else {})
    with pytest.raises(DataError, match=message):
        run(study, model="some/model", **settings)


def test_settings_are_changed_by_name_and_none_leaves_them(lines):
    result = run(data=lines, preset="other", max_new_tokens=1, batch_size=None)
    assert (result.config["preset"]["max_new_tokens"], result.config["preset"]["batch_size"]) == (1, 64)


def test_the_embedded_models_bring_their_own_data_and_settings():
    result = run(model="organism-base", dtype="bfloat16")
    assert result.config["preset"]["max_new_tokens"] == 4
    assert result.config["model"]["dtype"] == "bfloat16"
    assert result.texts["prompt"].tolist() == ["Hello", "What is 0?"]


def test_a_loaded_model_keeps_its_dtype_and_other_files_are_read_for_the_embedded_one(lines):
    model = ts.load_model("organism", dtype=torch.bfloat16)
    with pytest.raises(ModelError, match=r"dtype= is for models that are loaded by name"):
        run(model=model, data=lines, dtype="float32")
    result = run(model=model, data=lines)
    assert result.config["model"]["dtype"] == "bfloat16"
    assert result.texts["prompt"].tolist() == ["Hello", "World"]


def test_a_second_model_takes_the_place_of_the_first_and_stays_the_same(lines, tmp_path):
    settings = {"data": lines, "judge": "substrings", "run_dir": tmp_path / "run"}
    result = run(JUDGED, **settings, other=saved("qwen2"))
    assert result.texts["text"].str.endswith("float32").all()
    other = tmp_path / "other"
    other.symlink_to(saved("gemma2"))
    first = run(JUDGED, **settings | {"run_dir": tmp_path / "linked"}, other=str(other))
    assert first.config["preset"]["other"] == str(other)
    other.unlink()
    other.symlink_to(saved("gpt2"))
    with pytest.raises(DataError, match=r"was started with second model .* got "):
        run(JUDGED, **settings | {"run_dir": tmp_path / "linked"}, other=str(other))


class Engine(Here):
    """Stands in for vLLM."""

    def close(self):
        self.closed = True


def test_an_engine_writes_the_texts_and_the_run_says_so(lines, tmp_path, monkeypatch):
    place, started = saved("llama"), []

    def engine_of(name, model, **how):
        started.append((name, model, how, Engine(ts.load_model(model, "cpu"))))
        return started[-1][-1]

    monkeypatch.setattr(_frame, "engine_of", engine_of)
    monkeypatch.setattr(_frame, "check_engine", lambda name: {})
    settings = dict(model=place, preset="other", data=lines)
    here = run(**settings, run_dir=tmp_path / "here")
    there = run(**settings, engine="vllm:a=1", dtype="float32", run_dir=tmp_path / "there")
    ((name, model, how, engine),) = started
    assert (name, model, how) == ("vllm:a=1", str(place), {"dtype": "float32", "device": None})
    assert engine.asked == [2]
    assert engine.closed
    assert there.texts.equals(here.texts)
    assert there.config["model"] == here.config["model"] | {"device": "elsewhere"}
    assert "--engine vllm:a=1" in there.command
    with pytest.raises(DataError, match="device"):
        run(**settings, engine="vllm", run_dir=tmp_path / "here")  # a run without one


def test_an_engine_is_given_up_when_a_second_model_takes_the_models_place(lines, monkeypatch):
    engine = Engine(ts.load_model(saved("llama"), "cpu"))
    monkeypatch.setattr(_frame, "engine_of", lambda *_, **__: engine)
    monkeypatch.setattr(_frame, "check_engine", lambda name: {})
    found = []
    study = Study(**{**vars(JUDGED), "measure": lambda bench: (found.append(bench), measure(bench))[1]})
    run(study, model=saved("llama"), data=lines, judge="substrings", other=saved("gpt2"), engine="vllm")
    assert engine.closed
    assert found[0].model is None


def test_an_engine_is_refused_where_it_has_nothing_to_write_or_is_not_there(lines, monkeypatch):
    monkeypatch.setattr(_frame, "load_model", lambda *_: pytest.fail("a model was loaded"))
    silent = Study(**{**vars(OWN), "writes": False})
    for study, engine, said in ((silent, "vllm", "writes no texts"), (OWN, "other", "no engine 'other'")):
        with pytest.raises((DataError, ModelError), match=said):
            run(study, model=saved("llama"), preset="other", data=lines, engine=engine)
    with pytest.raises(ModelError, match="engine= is for models that are loaded by name"):
        run(preset="other", data=lines, engine="vllm")
    for name in ("persona-reliability", "alignment-faking"):
        with pytest.raises(DataError, match="writes no texts"):
            find_study(name).run(engine="vllm")


def test_a_model_is_not_its_own_second():
    preset = Preset(other="organism")
    assert run(JUDGED, model="organism", preset=preset).config["preset"]["other"] is None


@pytest.mark.parametrize("name", [*study_names(), f"{__name__}:OWN"])
def test_a_run_whose_model_cannot_be_loaded_leaves_nothing_behind(name, tmp_path, monkeypatch):
    def failing(*_, **__):
        raise OSError("no such model")

    monkeypatch.setattr(_frame, "load_model", failing)
    with pytest.raises(OSError, match="no such model"):
        find_study(name).run(run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_repeats_the_run(lines, tmp_path):
    folder = tmp_path / "a folder"
    result = run(JUDGED, data=lines, judge="substrings", preset="other", seed=2, run_dir=folder)
    assert shlex.split(result.command) == [
        "tlsteer", "study", "own", "--model", "tiny-llama", "--preset", "other", "--data", str(lines), "--judge",
        "substrings", "--seed", "2", "--output", str(folder),
    ]  # fmt: skip


def test_what_no_command_line_can_say_is_repeated_in_python(lines):
    result = run(data=lines, preset=Preset(max_new_tokens=2), batch_size=8)
    assert result.command == (
        "tlsteer.studies.find_study('own').run('tiny-llama', preset=Preset(other=None, dtype=None, batch_size=64, "
        f"judge_device=None, judge_dtype=None, keep_models=False, max_new_tokens=2), "
        f"data={str(lines)!r}, batch_size=8, seed=0)"
    )


def test_every_study_is_found_by_the_name_of_its_folder_and_says_where_it_departs():
    for name in study_names():
        study = find_study(name)
        assert study.name == name
        assert study is getattr(ts.studies, name.replace("-", "_")).STUDY
        assert study.question.endswith("?")
        assert study.departures
        assert all(sentence.endswith(".") for sentence in study.departures)
        assert "organism" in study.presets


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("refusals", "no study 'refusals'; the studies are alignment-faking, .*MODULE:OBJECT"),
        ("nowhere:OWN", "no study 'nowhere:OWN' .*No module named 'nowhere'"),
        (f"{__name__}:measure", "is a function and no Study"),
    ],
)
def test_what_is_no_study_is_refused_with_what_is(name, message):
    with pytest.raises(DataError, match=message):
        find_study(name)
