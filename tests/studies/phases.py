"""What studies planned, and what they began."""

from contextlib import contextmanager

import pytest

from tlsteer.studies._plan import Phases


@contextmanager
def all_planned_work_begins():
    """Sees that every study that runs inside plans work, and begins all of it in order."""
    runs, made = [], Phases.__init__

    def noted(self, work, speed=None):
        made(self, work, speed)
        runs.append((self, [one.what for one in work]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Phases, "__init__", noted)
        yield
    assert runs
    for phases, planned in runs:
        assert phases.begun == planned != []
