"""The time that is said to be left is what the units that are left cost, at the speed of those that are done."""

import io

import pytest

from tlsteer._bars import UnitBar


def remaining(bar, after):
    bar._time = lambda: bar.start_t + after
    shown = bar.format_dict
    return (shown["total"] - shown["n"]) / shown["rate"]


def test_the_time_left_goes_by_what_units_cost():
    costs = {4: 6.0, 5: 3.0, 6: 1.0}
    bar = UnitBar(costs.__getitem__, costs, total=5, initial=2, file=io.StringIO())
    bar.did(4)
    assert remaining(bar, 60) == pytest.approx(40)
    bar.did(5)
    assert remaining(bar, 90) == pytest.approx(10)
    bar.did(6)
    bar.close()
    assert bar.n == bar.total == 5


def test_a_bar_with_nothing_done_or_nothing_left_is_shown_all_the_same():
    out = io.StringIO()
    with UnitBar(lambda _: 1.0, [0], total=1, desc="answers", file=out) as bar:
        bar.refresh()
        bar.did(0)
    assert "answers: 100%" in out.getvalue()
    assert "1/1" in out.getvalue()
