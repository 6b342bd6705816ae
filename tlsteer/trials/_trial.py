"""A prompt under chosen vectors, beside the unsteered model and random vectors of the same norms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tlsteer._arguments import Count, Seed, checked
from tlsteer._model_type import Model
from tlsteer.fit import random_vector
from tlsteer.steering import Intervention
from tlsteer.trials._stream import Finished, Step, stream

UNSTEERED, STEERED, RANDOM = "unsteered", "steered", "random vector"


@checked
@dataclass(frozen=True, eq=False)
class Trial:
    """A prompt under chosen vectors, beside the unsteered model and random vectors of the same norms.

    Attributes:
        prompt: the text to continue; chat template and all (see `chat_prompt`).
        interventions: what steers, each of one vector and one multiplier.
        random_seed: of the random vectors' directions; the n-th vector's has the n-th seed from here on.
        max_new_tokens: at most this many tokens in each text.
        temperature: 0 is greedy.
        seed: of the sampling.

    >>> for step in Trial(prompts[0], [Intervention(vector, 2.0)], max_new_tokens=4).stream(model):
    ...     step.name
    """

    prompt: str
    interventions: Sequence[Intervention]
    random_seed: Seed = 0
    max_new_tokens: Count = 64
    temperature: float = 0.0
    seed: int = 0

    @property
    def conditions(self) -> dict[str, list[Intervention]]:
        """What is applied, by name; no random vectors where one of the vectors is an affine map, which has no norm."""
        steered = list(self.interventions)
        found: dict[str, list[Intervention]] = {UNSTEERED: [], STEERED: steered}
        if all(one.applied.is_vector for one in steered):
            found[RANDOM] = [
                replace(one, vector=random_vector(one.vectors[0].site, like=one.vectors[0], seed=self.random_seed + i))
                for i, one in enumerate(steered)
            ]
        return found

    def stream(self, model: Model, n_likeliest: Count = 5) -> Iterator[Step | Finished]:
        """The texts of all conditions, token by token; see `stream`."""
        return stream(
            model, self.prompt, self.conditions, max_new_tokens=self.max_new_tokens,
            temperature=self.temperature, seed=self.seed, n_likeliest=n_likeliest,
        )  # fmt: skip
