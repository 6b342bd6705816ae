"""`ts.workers` says in a sentence why there are none, starts them where they are wanted, and stops what it started."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tlsteer as ts
from tests.test_repository import ROOT
from tlsteer.errors import ArgumentError, WorkerError

RECIPES = ROOT / "docs" / "cluster"


def refused(settings, **more):
    with pytest.raises(ts.TlsteerError) as said, ts.workers(**{"n": 1, **settings}, **more):
        pass
    return said.value


def test_what_nobody_means_is_refused_before_anything_starts():
    assert isinstance(refused({"kind": "dask"}), ArgumentError)
    assert isinstance(refused({"n": 0}), ArgumentError)
    assert isinstance(refused({"gpus_per_worker": 2}), ArgumentError)
    assert "a client outside the cluster" in str(refused({"address": "ray://head:10001"}))


def test_a_missing_ray_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'tlsteer[ray]'" in str(refused({}))


def test_ray_is_imported_by_workers_alone():
    code = (
        "import sys, tlsteer as ts; from tlsteer.cli import app; import tlsteer.commands.study; ts.workers; "
        "assert 'ray' not in sys.modules; print('none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "none\n", done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "ray"], "give both or neither"),
        (["--n-workers", "2"], "give both or neither"),
        (["--workers", "dask", "--n-workers", "2"], "--workers 'dask' is unknown"),
        (["--workers", "ray://client://x", "--n-workers", "2"], "a client outside the cluster"),
    ],
)
@pytest.mark.parametrize(
    "command", ["study refusal", "reliability pca --data power", "sweep power", "fit --prompt a --promote b --layer 1"]
)
def test_the_command_line_refuses_what_it_cannot_do(run, command, words, said):
    status, _, err = run(*command.split(), "--output", "out", *words)
    assert status == 2
    assert said in err


@pytest.mark.slow
def test_a_cluster_of_our_own_is_stopped_and_one_that_was_there_is_not(cluster):
    with pytest.raises(WorkerError, match="Ray is connected already"), ts.workers("ray", n=1, address="auto"):
        pass
    with ts.workers("ray", n=1):
        pass
    assert cluster.is_initialized()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "reliability diff_means --data power --questions 20 --layers 2,3 --random 2 --multiplier 1 --multiplier 0",
        "sweep power --questions 20 --layers 2,3 --n-random 1 --multiplier 1 --multiplier 0",
        "fit --prompt Hello --promote ' world' --layer 3 --steps 3",
        "fit --method diff_means --pairs pairs.jsonl --layers 2,3",
    ],
)
def test_a_command_gives_the_same_on_workers_as_without(run, cluster, monkeypatch, words):
    Path("pairs.jsonl").write_text('{"positive": "yes, I do", "negative": "no, I do not"}\n')
    status, here, err = run(*shlex.split(words), "--output", "here")
    assert status == 0, err
    monkeypatch.delattr("tlsteer.measure._seam.Local.run")  # nothing is run in this process
    status, there, err = run(*shlex.split(words), "--output", "there", "--workers", "ray", "--n-workers", "2")
    assert status == 0, err
    assert here.replace("here", "there") == there


def test_the_recipe_for_slurm_is_a_script_that_starts_ray_and_our_command():
    script = RECIPES / "slurm.sh"
    assert subprocess.run(["bash", "-n", script], capture_output=True).returncode == 0
    lines = script.read_text().replace("\\\n", "").splitlines()
    asked = dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines if line.startswith("#SBATCH"))
    (started,) = [line.split() for line in lines if line.startswith("srun")]
    assert int(asked["nodes"]) * int(asked["gpus-per-node"]) == int(started[started.index("--n-workers") + 1])
    check_command(started[started.index("tlsteer") :])
    ray = pytest.importorskip("ray.scripts.scripts")
    assert {"symmetric-run", "get-auth-token"} <= set(ray.cli.commands)
    known = {option for one in ray.symmetric_run.params for option in one.opts}
    assert {"--address", "--min-nodes"} <= known & set(started)


def test_the_recipe_for_a_cluster_is_one_that_ray_takes():
    config = yaml.safe_load((RECIPES / "ray.yaml").read_text())
    util = pytest.importorskip("ray.autoscaler._private.util")
    util.validate_config(util.fillout_defaults(config))
    assert set(config["available_node_types"]) == {"head", "worker"}


def check_command(words):
    """Refuses words that our command line does not know."""
    from typer.main import get_command

    from tlsteer.cli import app

    study = get_command(app).commands[words[1]]
    known = {option for one in study.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= known
