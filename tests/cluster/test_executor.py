"""Requests on real workers: the same numbers however many they are, and what goes wrong costs what it has to."""

import itertools
import os
import resource
import signal
import time
import warnings

import numpy as np
import psutil
import pytest
import torch
import xarray as xr

import tlsteer as ts
from tests import small_models
from tests.cluster.fakes import Fake, expected, plain
from tests.faults.calls import Calls, vector
from tests.faults.jobs import Jobs, same
from tests.measure.test_seam import NAMES, flat, requests
from tlsteer._surface import Surface
from tlsteer.cluster._executor import RayWorkers
from tlsteer.measure import executing, measured

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def surface():
    return Surface(small_models.loaded("llama"))


def alike(one, other):
    return all(
        a == (b if isinstance(b, str) or b is None else pytest.approx(b, rel=1e-6, abs=1e-6, nan_ok=True))
        for a, b in zip(flat(one), flat(other), strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_values_are_the_same_here_and_on_any_number_of_workers(name, surface, pools):
    request = requests(surface)[name]
    here = list(measured(surface, request))
    for pool in pools.values():
        with executing(RayWorkers(pool)):
            there = list(measured(surface, request))
        assert len(there) == len(here) == len(request)
        assert all(map(alike, here, there))


@pytest.mark.parametrize("job", ["other fits", "sweep", "reliability", "study", "attack success"])
def test_whole_analyses_are_the_same_here_and_on_workers(job, pools, tmp_path):
    job = Jobs(tmp_path).all()[job]
    here = job(tmp_path / "here")
    with executing(RayWorkers(pools[2])):
        assert same(here, job(tmp_path / "there"))


def test_side_effects_and_transfer_are_the_same_here_and_on_workers(pools, tmp_path):
    calls = Calls(tmp_path)
    vectors, how = [vector(1), vector(2)], {"n_random": 1, "progress": False}

    def found():
        effects = ts.side_effects(calls.model, vector(), calls.texts[:3], calls.x, n_resamples=10, progress=False)
        moved = ts.analyse.layer_transfer(calls.model, vectors, calls.choices, [1, 2], **how)
        crossed = ts.analyse.transfer_matrix(
            calls.model, {"a": vectors[0], "b": vectors[1]}, {"t": calls.choices}, calls.x, n_resamples=10, **how
        )
        return [effects, moved.data, moved.random, crossed.data]

    here = found()
    with executing(RayWorkers(pools[2])):
        there = found()
    for one, other in zip(here, there, strict=True):
        xr.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_two_requests_may_be_under_way_at_once(surface, pools):
    with executing(RayWorkers(pools[2])):
        both = zip(measured(surface, Fake(20)), measured(surface, Fake(20)), strict=True)
        assert plain(itertools.chain(*both)) == [one for unit in expected(20) for one in (unit, unit)]


def test_a_request_that_is_left_half_way_does_not_hold_up_the_next(surface, pools):
    with executing(RayWorkers(pools[2])):
        assert plain([next(measured(surface, Fake(50, seconds=0.5)))]) == expected(1)
        assert plain(measured(surface, Fake(3))) == expected(3)


def test_a_model_that_was_changed_is_sent_again(pools):
    model = ts.load_model(small_models.bridge("llama"))
    request = requests(Surface(model))["answers"]
    with executing(RayWorkers(pools[1])):
        before = list(measured(Surface(model), request))
        with torch.no_grad():
            next(model.original_model.parameters()).mul_(1.5)
        after = list(measured(Surface(model), request))
    assert not alike(before, after)
    assert alike(after, list(measured(Surface(model), request)))


def test_what_a_worker_warns_of_is_said_here(surface, pools, tmp_path):
    request = Fake(2, str(tmp_path), wrong=((0, "warns"),))
    with executing(RayWorkers(pools[1])), pytest.warns(UserWarning, match="be careful"):
        list(measured(surface, request))


def test_a_worker_whose_memory_runs_out_halves_its_batches_and_goes_on(surface, pools, tmp_path):
    class Large(Fake):
        def run(self, surface, units, unfinished):
            for unit, value in super().run(surface, units, unfinished):
                taken = psutil.Process().memory_info().vms
                _, hard = resource.getrlimit(resource.RLIMIT_AS)
                resource.setrlimit(resource.RLIMIT_AS, (taken + (6 << 30), hard))
                try:
                    torch.empty(self.batch_size << 30, dtype=torch.uint8)  # 16 GiB, then 8, then 4
                finally:
                    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
                yield unit, value

    request = Large(6, str(tmp_path))
    with executing(RayWorkers(pools[1])), pytest.warns(UserWarning, match="memory ran out on .* batches are 1/4 there"):
        assert plain(measured(surface, request)) == expected(6)
    tries = [file.name.split("-") for unit in range(6) for file in request.tries(unit)]
    assert sorted(int(size) for _, _, size, _ in tries) == [4] * 6 + [8, 16]
    assert len({process for *_, process in tries}) == 1  # it has not died of it


def test_an_error_of_ours_ends_the_request_and_what_was_done_is_kept(surface, pools, tmp_path):
    (tries := tmp_path / "tries").mkdir()
    request = Fake(4, str(tries), wrong=((3, "refuses"),))
    with executing(RayWorkers(pools[1])), pytest.raises(ts.VectorError, match="it is too long"):
        list(measured(surface, request, tmp_path / "kept"))
    assert len(list((tmp_path / "kept").iterdir())) == 3
    assert len(request.tries(3)) == 1


def test_a_unit_that_always_fails_is_tried_three_times_and_reported_when_the_rest_is_done(surface, pools, tmp_path):
    (tries := tmp_path / "tries").mkdir()
    request = Fake(12, str(tries), wrong=((5, "raises"),))
    said = r"1 of 12 units failed 3 times each, all others are done: unit 5: RuntimeError: no luck"
    with executing(RayWorkers(pools[2])), pytest.raises(ts.errors.WorkerError, match=said):
        list(measured(surface, request, tmp_path / "kept"))
    assert len(list((tmp_path / "kept").iterdir())) == 11
    assert len(request.tries(5)) <= 3 + 3  # alone three times, in groups that were halved before that
    assert all(len(request.tries(unit)) <= 4 for unit in range(12) if unit != 5)


def test_where_every_unit_fails_few_are_tried(surface, pools, tmp_path):
    request = Fake(200, str(tmp_path), wrong=tuple((unit, "raises") for unit in range(200)))
    with executing(RayWorkers(pools[2])), pytest.raises(ts.errors.WorkerError, match="none was done"):
        list(measured(surface, request))
    assert len(list(tmp_path.iterdir())) < 100


def test_a_worker_that_dies_loses_the_unit_in_flight_which_goes_elsewhere(surface, pools, tmp_path):
    request = Fake(12, str(tmp_path), wrong=((2, "dies once"), (9, "dies once")))
    with executing(RayWorkers(pools[2])):
        assert plain(measured(surface, request)) == expected(12)
    assert [len(request.tries(unit)) for unit in range(12)] == [1, 1, 2, *[1] * 6, 2, 1, 1]


def test_a_unit_that_takes_long_goes_on_where_its_dead_worker_was(surface, pools, tmp_path):
    class Long(Fake):
        def run(self, surface, units, unfinished):
            for unit in units:
                if (state := unfinished.get(unit)) is None:
                    unfinished.put(unit, "half done")
                    while not list(tmp_path.glob("*-unfinished.unit.safetensors")):
                        time.sleep(0.01)  # until it is kept where the worker's death does not reach it
                    os.kill(os.getpid(), signal.SIGKILL)
                yield unit, state

    with executing(RayWorkers(pools[1])):
        assert list(measured(surface, Long(1), tmp_path)) == ["half done"]
    assert not list(tmp_path.glob("*-unfinished*"))


def test_a_unit_that_kills_its_workers_is_given_up(surface, pools, tmp_path):
    request = Fake(6, str(tmp_path), wrong=((1, "dies"),))
    with executing(RayWorkers(pools[2])), pytest.raises(ts.errors.WorkerError, match="unit 1: a worker died"):
        list(measured(surface, request))


def test_a_full_disk_stops_with_what_was_written_kept(surface, pools, tmp_path):
    class Filling(RayWorkers):
        """The disk takes five units, and no more."""

        def run(self, surface, request, units, unfinished):
            for number, arrived in enumerate(super().run(surface, request, units, unfinished)):
                if number == 5:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
                yield arrived

    limits, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with executing(Filling(pools[2])), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ts.errors.StorageError, match=r"can no longer be written.* after 6 of 30 fakes"):
                list(measured(surface, Fake(30, seconds=0.01), tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(list(tmp_path.glob("*.unit.safetensors"))) == 5
    with executing(RayWorkers(pools[2])):
        assert plain(measured(surface, Fake(30, seconds=0.01), tmp_path)) == expected(30)


def test_arrays_come_back_as_they_were(surface, pools):
    class Large(Fake):
        def run(self, surface, units, unfinished):
            for unit in units:
                yield unit, {"large": np.full((300, 300), float(unit)), "text": ["é", None]}

    with executing(RayWorkers(pools[2])):
        for unit, value in enumerate(measured(surface, Large(4))):
            assert (value["large"] == unit).all()
            assert value["text"] == ["é", None]
