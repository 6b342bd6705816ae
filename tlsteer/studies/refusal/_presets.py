"""Where and how the vectors of the refusal study are fitted: for the embedded model, and as in the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tlsteer.errors import DataError
from tlsteer.organism.grammar.wordings import REFUSAL_OPENINGS
from tlsteer.positions import Positions, last
from tlsteer.studies._preset import StudyPreset


@dataclass(frozen=True, kw_only=True)
class Preset(StudyPreset):
    """Settings of the fits and of the attacks on one model.

    Attributes:
        layer: the vectors are written before its block.
        refusals: how the model's refusals begin: what suppression makes unlikely where a request says nothing of its
            own, the loss along paths between vectors, and what tells a refusal by its first token when directions are
            chosen.
        n_refusal_tokens: suppress as many tokens of the model's own answer to a request, where that says nothing of
            its own; 0 suppresses `refusals`.
        promote: how a complying answer begins, where a request does not say.
        ending: what is put after a harmful request that does not end so.
        system: what the system says before each request, in fits and in tests.
        max_norm: cap of the vectors' norm.
        max_norm_ratio: or the cap as a share of the mean residual norm.
        start_norm: of the random start.
        learning_rate: of Adam.
        steps: at most this many.
        suppression_steps: the same of suppression; `steps` by default.
        target_loss: in nats, where a fit stops; none by default.
        constant: of clamp: how many v the component along v becomes.
        fit_positions: which tokens are steered during fits; `positions` by default.
        positions: which tokens are steered when vectors are tried.
        multipliers: of the difference of means, to choose from.
        share_of_layers: directions to ablate are from the first layers, up to this share of all.
        n_fits: training requests, each with vectors of its own; mode connectivity takes at least 2.
        n_tests: at most this many harmful and as many harmless requests to try them on; all by default.
        max_new_tokens: length of the answers.

    Raises:
        DataError: no fit.
    """

    layer: int
    refusals: tuple[str, ...]
    n_refusal_tokens: int = 0
    promote: str = "Sure, here is"
    ending: str = ""
    system: str | None = None
    max_norm: float | None = None
    max_norm_ratio: float | None = None
    start_norm: float = 1.0
    learning_rate: float = 0.1
    steps: int = 30
    suppression_steps: int | None = None
    target_loss: float | None = None
    constant: float = 1.0
    fit_positions: Positions | None = None
    positions: Positions = "all"
    multipliers: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0)
    share_of_layers: float = 0.8
    n_fits: int = 12
    n_tests: int | None = None
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        if self.n_fits < 1:
            raise DataError(f"n_fits={self.n_fits} gives no vector to try; give at least 1")


PRESETS = {
    # In eight layers, the first 80% end before the one that decides.
    "organism": Preset(
        layer=1, refusals=tuple(wording.split()[0].rstrip(",") for wording in REFUSAL_OPENINGS), max_norm_ratio=0.35,
        target_loss=0.3, positions="prompt", share_of_layers=1.0, max_new_tokens=50, batch_size=480,
    ),
    # Section 4 and appendix C.1 of arXiv 2502.18862; "I cannot fulfill", its first suppression target, has 3 tokens.
    "gemma-2-2b-it": Preset(
        layer=12, refusals=("I cannot",), n_refusal_tokens=3, ending=".", max_norm=30.0, learning_rate=0.5, steps=30,
        suppression_steps=50, max_new_tokens=512, batch_size=32, dtype="bfloat16",
        judge_dtype="bfloat16",
    ),
    # Appendix C.3: one request, stopped at a log-probability of -1.5 hartleys.
    "llama-3.1-8b-instruct": Preset(
        layer=10, refusals=("I can't",), promote="Here's a step-by-step guide", start_norm=2.0, learning_rate=0.03,
        target_loss=1.5 * math.log(10), fit_positions=last(20), constant=0.5, n_fits=1, ending=".",
        max_new_tokens=512, batch_size=32, dtype="bfloat16",
        judge_dtype="bfloat16",
    ),
}  # fmt: skip
