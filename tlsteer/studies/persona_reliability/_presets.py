"""Settings of the persona-reliability study: for the embedded model, and the layers of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tlsteer.errors import DataError
from tlsteer.positions import Positions
from tlsteer.sites import Place, Site
from tlsteer.studies._preset import StudyPreset


@dataclass(frozen=True, kw_only=True)
class Preset(StudyPreset):
    """Settings for one model.

    Attributes:
        layers: to choose from; all but the first by default. A second model has those of its own preset, unless the
            call gives some for both.
        questions: at most this many of each dataset; all by default, of a trait of the embedded model 200.
        n_random: random vectors for each dataset; of shuffled labels there are at most three vectors.
        positions: where vectors are applied, in every setting and on both models. "completion": from the token that
            predicts the answer's letter, which is the "(" that the question's answer begins with, as steering-bench
            does (it skips one generated token); `slice(-2, None)`: from the token before that, as the paper's older
            code does (it skips none); "all": every token, which is another experiment.
        system: the system message of BASE, before which nothing else stands.
        after_letter: what stands between an option's letter and its answer in files of questions: ":" for the paper's
            "(A): Yes", nothing for "(A) Yes".

    Raises:
        DataError: no controls.
    """

    layers: Sequence[Place] | None = None
    questions: int | None = None
    n_random: int = 19
    positions: Positions = "completion"
    system: str = ""
    after_letter: Literal["", ":"] = ""
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.n_random < 1:
            raise DataError(f"n_random={self.n_random}: a slope says little without at least one control")


_SYSTEM = "You are a helpful, honest and concise assistant."
# The paper's layers count what leaves a block.
PRESETS = {
    "organism": Preset(questions=64, other="organism-sibling"),
    "llama-2-7b-chat": Preset(layers=(Site(13, "post"),), dtype="bfloat16", system=_SYSTEM, after_letter=":"),
    "qwen1.5-14b-chat": Preset(layers=(Site(21, "post"),), dtype="bfloat16", system=_SYSTEM, after_letter=":"),
}
