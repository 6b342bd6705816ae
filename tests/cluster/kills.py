"""Kills of workers and of the process that hands them their units.

A job of several kinds of requests is run by a process of its own, on two workers of one cluster. At random moments one
of the workers or that process is killed (SIGKILL). Started again in the same folder, the job goes on. Checked is that

- whenever the job ends, it gives what it gives without workers and without kills, numbers to 1e-6 and texts exactly: no
  unit is lost, and none counts twice;
- a unit that was kept when something was killed is never run again;
- a worker's death costs two units at most, the one under way and one on its way back;
- nothing is left half written, and no worker outlives the process that it worked for.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

import tlsteer as ts
from tests import small_models
from tests.measure.test_seam import PROMPTS, flat
from tlsteer._storage import write_atomically
from tlsteer._surface import Surface
from tlsteer.measure import Answers, Texts, Work, Written
from tlsteer.tokens import encode_prompts

N_VECTORS, N_WORKERS = 16, 2
LIMIT = 600  # seconds that any part may take on a machine that is busy with other things
# The job's process starts from one that has imported torch already; a fork of this one, where Ray runs, might hang.
FORKS = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, eq=False)
class Noted:
    """A request whose units last, so that there is something to kill, and are noted as they begin.

    Attributes:
        request: what is run.
        seconds: how long each unit lasts besides.
        notes: a file that gets a line for each unit that is begun: when, and its key.
    """

    request: Any
    seconds: float
    notes: str

    what = "noted units"

    def __len__(self):
        return len(self.request)

    def parts(self, unit):
        return self.request.parts(unit)

    def run(self, surface, units, unfinished):
        work = Work(surface, self)
        for unit in units:
            with open(self.notes, "a") as notes:
                notes.write(f"{time.time()} {work._key(unit)}\n")
            time.sleep(self.seconds)
            yield from self.request.run(surface, [unit], unfinished)


def job(folder, seconds=0.0):
    """Every number and text of the job."""
    model = small_models.loaded("llama")
    surface = Surface(model)
    drawn = torch.randn(N_VECTORS, small_models.WIDTH, generator=torch.Generator().manual_seed(0))
    vectors = [ts.SteeringVector(one, number % small_models.LAYERS) for number, one in enumerate(drawn)]
    rows, answers = encode_prompts(surface, PROMPTS), torch.tensor([[5, 6]] * len(PROMPTS))
    ways = [Written([ts.Intervention([one] * 3, [1.0] * 3)]) for one in vectors[:8]]
    asked = (Answers(rows, answers, vectors, [-1.0, 0.0, 2.0]), Texts(PROMPTS, ways, 6, temperature=1.0, seed=3))
    found = [one for each in asked for one in Work(surface, Noted(each, seconds, f"{folder}/notes"), folder).values()]
    example = ts.Example("What is it?", promote=[" Sure, here"])
    recipes = [ts.OneShot(example, layer, steps=5, tolerance=0.0) for layer in (1, 2, 3)]
    fits = ts.fit_many(model, recipes, run_dir=folder, progress=False)
    return flat(found) + flat([fit.vector.tensor.numpy() for fit in fits])


def driver(folder, address):
    """The job on workers, in a process of its own that says what it says in a file."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    with ts.workers("ray", n=N_WORKERS, address=address):
        write_atomically(folder / "found.json", json.dumps(job(folder, 0.4)).encode())


class Campaign:
    """A cluster, and kills there in one folder after the other, each of which has to give the same in the end.

    Args:
        seed: of what is killed, and when.
        place: where folders are made.
    """

    def __init__(self, seed: int, place: Path) -> None:
        # Before Ray is imported; the token is one that the processes of a user share.
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
        import ray

        FORKS.set_forkserver_preload(["tests.cluster.kills"])
        self._n = Counter[str]()
        self._draw, self._place, self._folders = random.Random(seed), place, 0
        (here := place / "here").mkdir()
        self._expected = job(here)
        ray.init(address="local", num_cpus=4, object_store_memory=100_000_000, include_dashboard=False)
        self._address = ray.get_runtime_context().gcs_address

    def run(self, n_kills: int) -> Counter[str]:
        """How often what was killed, and how many jobs have ended; AssertionError where one went wrong."""
        while self._n["worker"] + self._n["driver"] < n_kills:
            self._one_job(n_kills)
        end = time.monotonic() + LIMIT
        while self._workers() and time.monotonic() < end:
            time.sleep(0.5)
        assert not self._workers(), "workers outlive the process that started them"
        return self._n

    def _one_job(self, n_kills: int) -> None:
        """A job from its start to its end, and what happens meanwhile."""
        self._folders, kills = self._folders + 1, []
        (folder := self._place / f"{self._folders}").mkdir()
        while not (folder / "found.json").exists():
            process = self._started(folder)
            while process.is_alive() and self._n["worker"] + self._n["driver"] < n_kills:
                self._moment(process, folder)
                if process.is_alive():
                    kills.append(self._killed(process, folder))
            process.join(LIMIT)
            assert process.exitcode in (0, -signal.SIGKILL), f"the job failed: {(folder / 'log').read_text()[-2000:]}"
        check(folder, kills, self._expected)
        self._n["finished"] += 1
        shutil.rmtree(folder)

    def _moment(self, process, folder) -> None:
        """Waits until a few more units are kept, and a little longer."""
        wanted, end = len(kept(folder)) + self._draw.randint(0, 3), time.monotonic() + LIMIT
        while process.is_alive() and len(kept(folder)) < wanted:
            assert time.monotonic() < end, "the job stands still"
            time.sleep(0.05)
        process.join(self._draw.uniform(0, 0.5))

    def _started(self, folder):
        process = FORKS.Process(target=driver, args=(folder, self._address))
        process.start()
        return process

    def _workers(self):
        """Processes of workers of this cluster, by what Ray calls them."""
        found = []
        for one in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ends while it is looked at
                found += [one] * "".join(one.cmdline()[:1]).startswith("ray::Worker")
        return found

    def _killed(self, process, folder):
        """Kills the process, or one of its workers where there is one: when, what, and what was kept by then."""
        workers = self._workers()
        killed = "worker" if workers and self._draw.random() < 0.75 else "driver"
        before = kept(folder)
        (self._draw.choice(workers) if killed == "worker" else process).kill()
        self._n[killed] += 1
        print(f"{killed} killed with {len(before)} units kept", flush=True)
        return time.time(), killed, before


def kept(folder):
    """The keys of the units that a folder keeps."""
    return {file.name.partition(".")[0] for file in folder.glob("*.unit.safetensors")}


def check(folder, kills, expected) -> None:
    """AssertionError where a job that has ended gives something else, or has run what it need not."""
    found = json.loads((folder / "found.json").read_text())
    pairs = zip(expected, found, strict=True)
    apart = max(abs(a - b) if isinstance(b, float) else float(a != b) for a, b in pairs)
    assert apart <= 1e-6, f"apart by {apart}"
    assert not list(folder.glob(".tlsteer-*.part")), "something was left half written"
    begun = [(float(when), key) for when, key in map(str.split, (folder / "notes").read_text().splitlines())]
    assert {key for _, key in begun} <= kept(folder), "something was not kept"
    again = [key for when, key in begun for killed, _, before in kills if when > killed and key in before]
    assert not again, f"units that were kept have been run again: {again}"
    spent = len(begun) - len({key for _, key in begun})
    n_lost = sum(1 if what == "worker" else N_WORKERS for _, what, _ in kills)
    assert spent <= 2 * n_lost, f"{spent} units were run again after {n_lost} deaths of workers"
