"""Texts that a model writes after prompts, under interventions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from tlsteer._keys import key_of
from tlsteer._model_type import engine_in_force
from tlsteer._surface import Surface
from tlsteer.data._prompt_like import PromptLike
from tlsteer.generation import generate
from tlsteer.measure._seam import Costs, Unfinished
from tlsteer.steering import Intervention
from tlsteer.vectors import SteeringVector


@dataclass(frozen=True, eq=False)
class Written:
    """One unit of texts: all prompts, in one setting after the other.

    Attributes:
        interventions: for all of them; per-row vectors, multipliers and masks have one for each prompt and setting.
        n_settings: how many settings there are.

    >>> request = Texts(prompts, [Written([Intervention(vector)])], max_new_tokens=4)
    >>> len(list(measured(surface, request)))
    1
    """

    interventions: Sequence[Intervention] = ()
    n_settings: int = 1

    @property
    def alike(self) -> Any:
        """What units share whose texts can be written in one batch; None for one that stands alone."""
        if len(self.interventions) != 1 or not self.interventions[0].is_by_row:
            return None
        one = self.interventions[0]
        return one.vectors[0].site, one.site, one.applied, key_of(one.positions)


@dataclass(frozen=True, eq=False)
class Texts:
    """A request: the texts that follow prompts, one unit per way to steer.

    Attributes:
        prompts: texts as the model reads them, chat format and all, or ids, which are continued in ids.
        units: ways to steer.
        max_new_tokens: length of the texts.
        temperature: 0 is greedy.
        seed: of the sampling.
        batch_size: texts written at once; units of one site and operation share batches.

    >>> request = Texts(prompts, [Written(), Written([Intervention(vector)])], max_new_tokens=4)
    >>> len(list(measured(surface, request)))
    2
    """

    prompts: Sequence[PromptLike]
    units: Sequence[Written]
    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    batch_size: int = 256

    what = "texts"

    def __len__(self) -> int:
        return len(self.units)

    def parts(self, unit: int) -> Any:
        """What the texts of a unit depend on."""
        own = self.units[unit]
        sampling = [self.temperature, self.seed] if self.temperature else []
        engine = engine_in_force()
        elsewhere = [] if engine is None else [engine.about()]
        return self.prompts, own.interventions, own.n_settings, self.max_new_tokens, [*sampling, *elsewhere]

    def costs(self, n_layers: int) -> Costs:
        """Every text costs the same; what is sampled may be shorter, which nobody knows before."""
        return Costs([float(one.n_settings) for one in self.units])

    def run(
        self, surface: Surface, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, list[str] | list[list[int]]]]:
        """The texts of some units: all prompts in the first setting, then all in the next."""
        for together in self._batches(units):
            own = [self.units[unit] for unit in together]
            prompts: list[Any] = [*self.prompts] * sum(one.n_settings for one in own)
            texts = generate(
                surface.elsewhere or surface.model, prompts, _joined(own),
                max_new_tokens=self.max_new_tokens, temperature=self.temperature, seed=self.seed,
                batch_size=self.batch_size, progress=False,
            )  # fmt: skip
            first = 0
            for unit, one in zip(together, own, strict=True):
                last = first + one.n_settings * len(self.prompts)
                yield unit, texts[first:last]
                first = last

    def _batches(self, units: Sequence[int]) -> Iterator[list[int]]:
        """Neighbours whose texts can be written in one batch, as many as fit."""
        # What is sampled is drawn by a prompt's place in its batch, which may not depend on other units.
        for alike, group in groupby(units, lambda unit: None if self.temperature else self.units[unit].alike):
            several = list(group)
            rows = len(self.prompts) * self.units[several[0]].n_settings
            at_once = max(1, self.batch_size // rows) if alike else 1
            for start in range(0, len(several), at_once):
                yield several[start : start + at_once]


def _joined(units: Sequence[Written]) -> list[Intervention]:
    if len(units) == 1:
        return list(units[0].interventions)
    each = [unit.interventions[0] for unit in units]
    vectors: list[SteeringVector] = [vector for one in each for vector in one.vectors]
    return [replace(each[0], vector=vectors, multiplier=[m for one in each for m in one.multipliers])]
