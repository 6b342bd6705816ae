"""A worker says how it failed, halves its batches where memory runs out, and refuses other versions."""

import threading

import pytest
import torch

from tests import small_models
from tests.cluster.fakes import Fake, expected, plain
from tlsteer._surface import Surface
from tlsteer.cluster._worker import Begun, Failed, Worker, check_versions, versions
from tlsteer.errors import VectorError, WorkerError
from tlsteer.measure import Answers


class Here(Worker):
    """A worker in this process: references are the things themselves."""

    def __init__(self, request):
        self._model = lambda model: model
        self._request = lambda sent: sent
        self._halved = {}
        self.request = request

    def outcome(self, units=None, states=None, pause=None):
        surface = Surface(small_models.loaded("llama"))
        units = range(len(self.request)) if units is None else units
        return list(self.run([surface], [self.request], list(units), states or {}, pause))


def test_a_worker_gives_each_unit_with_what_was_warned_of():
    units, values, said = zip(*Here(Fake(3)).outcome(), strict=True)
    assert units == (0, 1, 2)
    assert plain(values) == expected(3)
    assert said == ([], [], [])


def test_errors_of_ours_come_back_as_they_are(tmp_path):
    *done, failed = Here(Fake(3, str(tmp_path), wrong=((1, "refuses"),))).outcome()
    assert [unit for unit, _, _ in done] == [0]
    assert isinstance(failed.error, VectorError)
    assert str(failed.error) == failed.said == "it is too long; make it shorter"


def test_other_errors_come_back_in_a_line_that_says_where(tmp_path):
    *_, failed = Here(Fake(3, str(tmp_path), wrong=((0, "raises"),))).outcome()
    assert failed.error is None
    assert failed.said.startswith("RuntimeError: no luck (")
    assert "fakes.py:" in failed.said


def test_batches_are_halved_until_memory_suffices_and_stay_so(tmp_path):
    worker = Here(Fake(8, str(tmp_path), wrong=tuple((unit, "fills memory") for unit in range(8))))
    outcome = worker.outcome()
    assert plain(value for _, value, _ in outcome) == expected(8)
    assert sum("no memory" in text for _, _, said in outcome for text in said) == 2
    sizes = [file.name.split("-")[2] for unit in range(8) for file in worker.request.tries(unit)]
    assert sorted(set(sizes)) == ["16", "4", "8"]
    assert sizes.count("16") == sizes.count("8") == 1
    worker.outcome([0])
    assert len(worker.request.tries(0)) == 4


def test_a_worker_whose_stream_is_dropped_ends_its_work():
    class Lasting(Fake):
        def run(self, surface, units, unfinished):
            working.append(threading.current_thread())
            for unit in units:
                done.append(unit)
                yield unit, None

    working, done = [], []
    worker = Here(Lasting(1000))
    stream = worker.run([Surface(small_models.loaded("llama"))], [worker.request], range(1000), {})
    assert next(stream) == (0, None, [])
    stream.close()
    working[0].join(60)
    assert not working[0].is_alive()
    assert done == [0]


@pytest.mark.slow
def test_memory_that_never_suffices_is_a_failure_not_a_loop():
    class Hungry(Fake):
        def run(self, surface, units, unfinished):
            raise MemoryError("none at all")
            yield

    (failed,) = Here(Hungry(3)).outcome()
    assert isinstance(failed, Failed)
    assert failed.said.startswith("MemoryError: none at all")


@pytest.mark.slow
@pytest.mark.parametrize("error", [RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
                                   torch.OutOfMemoryError("CUDA out of memory")])  # fmt: skip
def test_what_pytorch_calls_memory_is_memory(error):
    class Hungry(Fake):
        def run(self, surface, units, unfinished):
            if self.batch_size > 1:
                raise error
            yield from super().run(surface, units, unfinished)

    assert plain(value for _, value, _ in Here(Hungry(2)).outcome()) == expected(2)


def test_a_request_with_smaller_batches_gives_the_same_values():
    surface = Surface(small_models.loaded("llama"))
    rows = [[5, 6, 7], [8, 9, 10, 11], [12, 13]]
    import tlsteer as ts

    request = Answers(rows, torch.tensor([[5, 6]] * 3), [ts.SteeringVector(torch.ones(32), 1)], [0.0, 1.0])
    worker = Here(request)
    ((_, before, _),) = worker.outcome()
    worker._halved = {request: 20}
    ((_, after, _),) = worker.outcome()
    assert before == pytest.approx(after, abs=1e-5)
    assert surface.n_layers == 4


def test_states_of_units_begun_elsewhere_reach_the_request():
    class Resumes(Fake):
        def run(self, surface, units, unfinished):
            for unit in units:
                yield unit, unfinished.get(unit) or "anew"

    assert [value for _, value, _ in Here(Resumes(2)).outcome(states={1: "half done"})] == ["anew", "half done"]


def test_states_of_units_under_way_are_told_where_they_are_kept():
    class Long(Fake):
        def run(self, surface, units, unfinished):
            for unit in units:
                if unfinished.is_kept:
                    unfinished.put(unit, "half done")
                yield unit, "done"

    assert Here(Long(1)).outcome(pause=0.0) == [Begun(0, "half done"), (0, "done", [])]
    assert Here(Long(1)).outcome(pause=60.0) == Here(Long(1)).outcome() == [(0, "done", [])]


def test_another_version_is_refused_and_named():
    check_versions(versions())
    with pytest.raises(WorkerError, match=r"a worker has torch 1\.0 and this process"):
        check_versions(versions() | {"torch": "1.0"})
