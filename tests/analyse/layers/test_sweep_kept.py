"""Sweeps in a run folder: resumed where they were, and no function taken for another."""

from functools import partial

import pytest

from tests.analyse.layers.sweeping import EXAMPLES, planted, sweep
from tests.small_models import LAYERS
from tlsteer import (
    DataError,
)

CALLS = []


def counted(model, vector, multiplier):
    CALLS.append(vector.site)
    if len(CALLS) == 5:
        raise KeyboardInterrupt
    return planted(model, vector, multiplier)


def test_a_sweep_that_was_interrupted_goes_on_where_it_was(tmp_path):
    CALLS.clear()
    settings = dict(test=None, measure=counted, multipliers=[1, 2], n_random=0)
    with pytest.raises(KeyboardInterrupt):
        sweep(run_dir=tmp_path, **settings)
    resumed = sweep(run_dir=tmp_path, **settings)
    # Unsteered once, two multipliers of four vectors, and the one that was cut short.
    assert len(CALLS) == 1 + 2 * LAYERS + 2
    assert sweep(**settings).data.identical(resumed.data)


class One:
    @staticmethod
    def score(model, vector, multiplier):
        return 1.0


class Two:
    @staticmethod
    def score(model, vector, multiplier):
        return 2.0


def test_functions_of_one_name_are_not_taken_for_each_other(tmp_path):
    settings = dict(test=None, n_random=0, run_dir=tmp_path)
    assert (sweep(measure=One.score, **settings).data == 1).all()
    assert (sweep(measure=Two.score, **settings).data == 2).all()


def of(value):
    return lambda model, vector, multiplier: value


def named(value):
    def score(model, vector, multiplier):
        return value

    return score


@pytest.mark.parametrize("function", [of(1.0), partial(One.score), named(1.0)])
def test_scores_are_not_kept_under_a_name_that_says_too_little(tmp_path, function):
    settings = dict(test=None, measure=function, n_random=0)
    assert (sweep(**settings).data == 1).all()
    with pytest.raises(DataError, match=r"made by def|uses value of the function around it"):
        sweep(**settings, run_dir=tmp_path)


def test_one_shot_fits_are_kept_in_the_run_folder(tmp_path):
    first = sweep(EXAMPLES, layers=[1, 2], fit_settings={"steps": 2}, run_dir=tmp_path)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    again = sweep(EXAMPLES, layers=[1, 2], fit_settings={"steps": 2}, run_dir=tmp_path)
    assert again.data.identical(first.data)
    assert files == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
