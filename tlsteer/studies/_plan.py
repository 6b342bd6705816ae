"""What a run would do, take and last, told without starting it."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tqdm.auto import tqdm

from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.data import Example
from tlsteer.errors import DataError
from tlsteer.fit import OneShot, fit_many
from tlsteer.generation import generate
from tlsteer.models import chat_prompt

_QUESTION, _ANSWER = "Tell me in a few sentences about the sea.", " It"
_SECONDS, _GLANCE = 10.0, 2.0


@dataclass(frozen=True)
class PlannedWork:
    """Units of one kind.

    Attributes:
        what: is done, in words: "fitting vectors".
        kind: vectors to fit, texts to write, or something that is read, such as texts by a judge.
        units: how many at most.
        size: of a unit at most: steps of a fit, new tokens of a text; 0 for what is read.

    >>> find_study("refusal").plan("organism", probe=False).work[0]
    """

    what: str
    kind: Literal["fit", "write", "read"]
    units: int
    size: int = 0

    def __str__(self) -> str:
        each = {"fit": f" of {self.size} steps", "write": f" of {self.size} new tokens", "read": ""}[self.kind]
        return f"{self.what}: {self.units:,}{each}"


@dataclass(frozen=True)
class Speed:
    """What a probe found.

    Attributes:
        step: seconds of a step of a fit.
        token: seconds of a new token of each text of a batch.
        batch_size: texts in a batch.
    """

    step: float
    token: float
    batch_size: int

    def seconds(self, work: PlannedWork) -> float:
        """How long some work lasts at most, NaN for what was not probed."""
        if work.kind == "fit":
            return work.units * work.size * self.step
        return math.ceil(work.units / self.batch_size) * work.size * self.token if work.kind == "write" else math.nan

    def total(self, work: Sequence[PlannedWork]) -> float:
        """How long all of it lasts at most, but for what was not probed."""
        return sum(seconds for one in work if not math.isnan(seconds := self.seconds(one)))


@dataclass(frozen=True)
class Plan:
    """A run that was not started.

    Attributes:
        work: what it would do.
        memory: lines about what it would take.
        speed: of the model; None where it was not probed.

    >>> plan = find_study("refusal").plan("organism", probe=False)
    >>> [work.kind for work in plan.work]
    """

    work: Sequence[PlannedWork]
    memory: Sequence[str]
    speed: Speed | None

    def __str__(self) -> str:
        lines = ["Work, at most:"]
        for one in self.work:
            total = f" ({one.units * one.size:,})" if one.size else ""
            lines.append(f"  {one}{total}{self._lasting(one)}")
        if not self.work:
            lines.append("  this study does not tell")
        lines += ["Memory:", *(f"  {line}" for line in self.memory or ["an embedded model's, a few MB"])]
        lines.append("Activations come on top, and those of fits are the largest.")
        if self.speed is not None:
            lines.append(
                f"Time, after a probe of {_SECONDS:g} seconds: about {_duration(self.speed.total(self.work))} at most "
                "for fits and texts; what is read was not probed. Texts that end early take less."
            )
        return "\n".join(lines)

    def _lasting(self, work: PlannedWork) -> str:
        if self.speed is None:
            return ""
        seconds = self.speed.seconds(work)
        return ", not probed" if math.isnan(seconds) else f", about {_duration(seconds)}"


class Phases:
    """The planned work of a run, told part by part.

    Args:
        work: in the order in which it begins.
        speed: of the model; None where nobody looks on.
    """

    def __init__(self, work: Sequence[PlannedWork], speed: Speed | None = None) -> None:
        self.begun: list[str] = []
        self._work, self._speed = {one.what: one for one in work}, speed

    @classmethod
    def of(cls, work: Sequence[PlannedWork], model: Model, batch_size: int, unlike: str = "") -> Phases:
        """Those of a run that somebody looks on, after a glance at how fast the model is.

        Args:
            work: see `Phases`.
            model: that is probed.
            batch_size: of its texts.
            unlike: why such a glance would say nothing of the run, which is then told in its place.
        """
        speed = Speed(math.nan, math.nan, batch_size)
        if unlike:
            tqdm.write(f"How long this takes is not estimated: {unlike}.", file=sys.stderr)
        elif any(one.size for one in work):
            speed = probed(model, batch_size, _GLANCE)
        return cls(work, speed)

    def begin(self, what: str) -> None:
        """Says which part of all begins, and how long what is left lasts at most: "2 of 3: writing texts: ..."

        Raises:
            DataError: it is not among the work.
        """
        if what not in self._work:
            raise DataError(f"{what!r} is not planned; the study's work is {', '.join(self._work) or 'none'}")
        self.begun.append(what)
        number = [*self._work].index(what)
        left = [*self._work.values()][number:]
        if self._speed is None:
            return
        reading = " besides what is read" if any(one.kind == "read" for one in left) else ""
        seconds = self._speed.total(left)
        lasting = f"; about {_duration(seconds)} left at most{reading}" if seconds else ""
        tqdm.write(f"{number + 1} of {len(self._work)}: {self._work[what]}{lasting}", file=sys.stderr)


def probed(model: Model, batch_size: int, seconds: float = _SECONDS) -> Speed:
    """How fast a model fits and writes: half of the time for either, on a question of its own.

    Args:
        model: a TransformerBridge or HookedTransformer.
        batch_size: texts written at once.
        seconds: how long.
    """
    has_template = getattr(Surface(model).tokenizer, "chat_template", None) is not None
    prompt = chat_prompt(model, _QUESTION) if has_template else _QUESTION
    recipe = OneShot(Example(prompt, promote=[_ANSWER]), Surface(model).n_layers // 2, steps=2, tolerance=0.0)

    def write() -> int:
        prompts, n_tokens = [prompt] * batch_size, 4
        generate(model, prompts, max_new_tokens=n_tokens, batch_size=batch_size, temperature=1.0, progress=False)
        return n_tokens

    def fit() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            fit_many(model, [recipe], progress=False)
        return 2

    return Speed(_seconds_of_one(fit, seconds / 2), _seconds_of_one(write, seconds / 2), batch_size)


def _seconds_of_one(act: Callable[[], int], seconds: float) -> float:
    act()  # the first one sets things up
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not done:
        done += act()
    return elapsed / done


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
