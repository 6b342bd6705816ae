import warnings

import pytest

from tests.small_models import loaded
from tests.studies.test_frame import OWN
from tlsteer.errors import DataError
from tlsteer.measure import Local, executing
from tlsteer.studies import _plan
from tlsteer.studies._plan import Phases, Plan, PlannedWork, Speed, probed


def test_a_probe_tells_how_long_a_step_and_a_token_last_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        speed = probed(loaded("llama"), 2, seconds=0.0)
    assert speed.step > 0
    assert speed.token > 0
    fits, texts = PlannedWork("vectors", "fit", 3, 10), PlannedWork("texts", "write", 5, 7)
    assert speed.seconds(fits) == 3 * 10 * speed.step
    assert speed.seconds(texts) == 3 * 7 * speed.token  # three batches of two


def test_parts_of_a_run_are_told_with_what_is_left(capsys):
    work = [
        PlannedWork("fitting", "fit", 3, 10),
        PlannedWork("writing", "write", 5, 7),
        PlannedWork("judging", "read", 5),
    ]
    phases = Phases(work, Speed(step=2.0, token=10.0, batch_size=2))
    for one in work:
        phases.begin(one.what)
    assert capsys.readouterr().err.splitlines() == [
        "1 of 3: fitting: 3 of 10 steps; about 4.5 minutes left at most besides what is read",
        "2 of 3: writing: 5 of 7 new tokens; about 3.5 minutes left at most besides what is read",
        "3 of 3: judging: 5",
    ]
    with pytest.raises(DataError, match="'resting' is not planned; the study's work is fitting, writing, judging"):
        phases.begin("resting")


class Elsewhere(Local):
    """Stands in for workers."""


def test_a_run_is_probed_when_it_begins_here_and_else_says_why_not(tmp_path, monkeypatch, capsys):
    probes = []
    monkeypatch.setattr(_plan, "probed", lambda *_: probes.append(1) or Speed(step=2.0, token=10.0, batch_size=2))
    asked = dict(model=loaded("llama"), data=tmp_path / "lines.txt", preset="other")
    asked["data"].write_text("Hello")
    for place, executor, probed_now, said in (
        ("run", Local, 1, "1 of 1: writing texts: 1 of 2 new tokens; about 20 seconds left at most"),
        ("run", Local, 0, "not estimated: what an earlier call did is kept"),
        ("other", Elsewhere, 0, "not estimated: workers do the work"),
    ):
        probes.clear()
        with executing(executor()):
            OWN.run(**asked, run_dir=tmp_path / place)
        assert len(probes) == probed_now
        told = capsys.readouterr().err
        assert said in told
        assert ("left at most" in told) == bool(probed_now)


def test_a_study_that_does_not_tell_its_work_is_said_not_to():
    assert "this study does not tell" in str(Plan([], ["a: 1 GB"], None))
