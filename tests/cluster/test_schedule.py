"""The most expensive units go out first, in groups that become smaller; what fails comes back in halves, then alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsteer.cluster._schedule import TRIES, Schedule
from tlsteer.measure import Costs


def groups(schedule):
    found = []
    while schedule:
        found.append(schedule.take())
    return found


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=60), st.integers(1, 9), st.floats(0, 1000))
def test_every_unit_goes_out_once_the_most_expensive_first(costs, n_workers, shared):
    out = [unit for group in groups(Schedule(range(len(costs)), Costs(costs, shared), n_workers)) for unit in group]
    assert sorted(out) == list(range(len(costs)))
    assert [costs[unit] for unit in out] == sorted(costs, reverse=True)


def test_neighbours_go_out_together_in_ever_smaller_groups():
    found = groups(Schedule(range(24), Costs(), 2))
    assert [len(group) for group in found] == [6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert found[0] == [0, 1, 2, 3, 4, 5]


def test_no_group_is_so_large_that_noting_its_units_counts():
    sizes = [len(group) for group in groups(Schedule(range(20_000), Costs(), 2))]
    assert sum(sizes) == 20_000
    assert max(sizes) == sizes[0] == 1000


def test_units_that_cost_nothing_beside_what_they_share_go_out_in_one_group():
    assert groups(Schedule(range(24), Costs([0.0] * 24, shared=1.0), 8)) == [list(range(24))]


def test_no_group_costs_less_than_what_any_group_costs_while_units_are_left():
    found = groups(Schedule(range(24), Costs([1.0] * 24, shared=3.0), 2))
    assert all(len(group) >= 3 for group in found[:-1])


@pytest.mark.parametrize("bad", [0, 7, 15])
def test_one_unit_that_always_fails_is_given_up_and_no_other(bad):
    schedule, done, n_groups = Schedule(range(16), Costs(), 1), set(), 0
    while schedule:
        group, n_groups = schedule.take(), n_groups + 1
        if bad in group:
            schedule.back(group, "no luck")
        else:
            done |= set(group)
    assert done == set(range(16)) - {bad}
    assert schedule.given_up == {bad: "no luck"}
    assert n_groups < 16


def test_a_unit_is_tried_again_before_others_go_out():
    schedule = Schedule(range(16), Costs(), 1)
    group = schedule.take()
    schedule.back(group[:1], "no luck")
    assert schedule.take() == group[:1]


def test_a_unit_that_fails_less_often_is_not_given_up():
    schedule = Schedule([3], Costs([0.0] * 4), 1)
    for _ in range(TRIES - 1):
        schedule.back(schedule.take(), "no luck")
    assert schedule.take() == [3]
    assert not schedule.given_up


def test_where_everything_fails_a_few_groups_show_it():
    schedule, n_groups = Schedule(range(1000), Costs(), 4), 0
    while len(schedule.given_up) < 3:
        schedule.back(schedule.take(), "no luck")
        n_groups += 1
    assert n_groups < 20
