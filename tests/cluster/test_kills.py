"""Twenty kills of workers and of the process that hands them their units (kills.py says what is checked)."""

import subprocess
import sys

import pytest

from tests.test_repository import ROOT


@pytest.mark.slow
def test_jobs_whose_workers_and_drivers_are_killed_lose_no_unit_and_run_none_that_is_kept_again():
    pytest.importorskip("ray")
    words = [sys.executable, "-m", "tests.cluster", "--seed", "1", "--n", "20"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "jobs gave the same as without" in done.stdout
