"""Command lines that nobody means, run in this process: exit status 0, 1 or 2 and no traceback."""

import contextlib
import io
import os
import random
import sys
from pathlib import Path

import tlsteer as ts
from tests.faults.calls import vector
from tests.faults.campaign_calls import tried
from tests.faults.room_calls import RoomCalls
from tlsteer.cli import main

VALUES = (
    "", " ", "x", "-1", "0", "9" * 40, "1e400", "nan", "\udcff", "x" * 300, "../../etc", "/dev/null", "/", ".",
    "--help", "--", "-", "\n", "a:b", ":", "last:0", "last:" + "9" * 30, "after:", "2:1", "blocks.99.hook_resid_pre",
    "\u202e",     "organism-", "http://x", "~nobody/x", "%s", "{}", "*", "cuda", "int8", "@file",
)  # fmt: skip


def command_lines(folder):
    """Command lines that are right."""
    saved = str(vector().save(folder / "v.safetensors"))
    model = loading_once(folder)
    prompt = ["--prompt", "Hello", "--model", model]
    calls = RoomCalls(folder)
    runs = [str(path) for path in calls.others()["studies.compare_runs"].values()]
    data = calls.file(
        "data.jsonl",
        "".join(f'{{"question": "q{i}?", "positive": "A", "negative": "B"}}\n' for i in range(8)),
    )
    return [
        ["info", saved],
        ["info", model, "--dtype", "float32", "--device", "cpu"],
        ["generate", *prompt, "--vector", saved, "--multiplier", "1", "--positions", "all", "--max-new-tokens", "1",
         "--temperature", "0", "--seed", "0", "--output", str(folder / "o.jsonl")],
        ["fit", *prompt, "--promote", " world", "--layer", "1", "--stage", "pre", "--steps", "1", "--seed", "0",
         "--max-norm", "1", "--learning-rate", "0.1", "--operation", "add", "--output", str(folder / "f.safetensors")],
        ["report", runs[0]],
        ["view", str(Path(runs[0]).parent), "--output", str(folder / "index.html")],
        ["compare-runs", *runs],
        ["study", "refusal", "--output", str(folder / "study"), "--model", "x", "--preset", "none"],
        ["reliability", saved, "--data", str(data), "--model", model, "--multiplier", "0", "--multiplier", "1",
         "--output", str(folder / "rel"), "--seed", "0"],
        ["sweep", str(data), "--model", model, "--multiplier", "0", "--multiplier", "1", "--layers", "1,2",
         "--n-random", "1", "--output", str(folder / "sweep"), "--seed", "0"],
    ]  # fmt: skip


def loading_once(folder):
    """The name of a tiny model which is loaded once for all command lines."""
    model = RoomCalls(folder).model
    real = ts.load_model

    def load_model(name, *arguments, **settings):
        return model if name == "tiny" else real(name, *arguments, **settings)

    import tlsteer.commands._run_parts
    import tlsteer.models

    tlsteer.models.load_model = load_model
    tlsteer.commands._run_parts.load_model = load_model
    return "tiny"


def run(arguments, good=(0, 1, 2, None)):
    """Runs a command line; AssertionError where it does not end as it should."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main(arguments)
        except SystemExit as end:
            if end.code not in good:
                raise AssertionError(f"exit status {end.code}: {said.getvalue()[-300:]}") from end
    assert "Traceback" not in said.getvalue(), said.getvalue()[-300:]


def campaign(folder, seed, n):
    """The number of command lines tried, and what failed."""
    draw, failed = random.Random(seed), []
    right, before = command_lines(folder), os.getcwd()
    (folder / "cwd").mkdir(exist_ok=True)
    os.chdir(folder / "cwd")
    sys.stdin.close()
    try:
        for line in right:  # what fails as it stands tries nothing; a whole study would take too long
            good = (2,) if line[0] == "study" else (0,)
            if (error := tried(run, {"arguments": line, "good": good})) is not None:
                failed.append(("tlsteer", line[0], "as documented", error))
        for _ in range(n):
            line = list(draw.choice(right))
            for _ in range(draw.choice([1, 1, 2])):
                place = draw.randrange(len(line))
                way = draw.random()
                if way < 0.6:
                    line[place] = draw.choice(VALUES)
                elif way < 0.8:
                    del line[place]
                else:
                    line.insert(place, draw.choice([*VALUES, line[place]]))
                line = line or [""]
            if (error := tried(run, {"arguments": line})) is not None:
                failed.append(("tlsteer", line[0][:20], f"{line!r:.200}", error))
    finally:
        os.chdir(before)
    return n, failed
