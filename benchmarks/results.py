"""The tables of RESULTS.md: `python -m benchmarks.results benchmarks.json ...` prints them from saved figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import GOAL_MORE_MB, GOAL_ONE_MB


def main() -> None:
    for file in sys.argv[1:]:
        for shape in json.loads(Path(file).read_text())["shapes"]:
            print(f"\n## {shape['shape']}\n")
            print(*speed(shape["contests"]), sep="\n")
            if shape["memory_mb"]:
                print(*memory(shape["memory_mb"]), sep="\n")


def speed(contests: list[dict[str, Any]]) -> Iterator[str]:
    yield "| work | against | goal | min | median | tlsteer, s | other, s | of the floor |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for contest in contests:
        own = [f"{median(contest['seconds']):.2f}", f"{contest['share_of_floor']:.0%}"]
        work = f"{contest['work']}<br>{contest['size']}"
        for rival in contest["rivals"]:
            goal, least, middle = rival["goal"], min(rival["ratios"]), median(rival["ratios"])
            shown = _bold(f"{middle:.3g}", goal is not None and middle >= goal)
            seconds = f"{median(rival['seconds']):.2f}"
            cells = [work, rival["name"], "" if goal is None else f"{goal:g}", f"{least:.3g}", shown, own[0]]
            yield f"| {' | '.join([*cells, seconds, own[1]])} |"
            work, own = "", ["", ""]


def memory(found: dict[str, float]) -> Iterator[str]:
    yield "\n| peak MB above the model | goal | tlsteer | plain loop | plain loop, frozen parameters |"
    yield "|---|---:|---:|---:|---:|"
    one = _bold(f"{found['one']:.0f}", found["one"] <= GOAL_ONE_MB)
    more = _bold(f"{found['each_more']:.0f}", found["each_more"] <= GOAL_MORE_MB)
    yield f"| one vector | {GOAL_ONE_MB} | {one} | {found['loop']:.0f} | {found['loop_frozen']:.0f} |"
    yield f"| each more, of 24 | {GOAL_MORE_MB} | {more} | | |"


def _bold(text: str, met: bool) -> str:
    return f"**{text}**" if met else text


if __name__ == "__main__":
    main()
