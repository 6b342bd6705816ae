"""How far steered next-token distributions are from the unsteered ones, token by token of given texts.

The texts are run unsteered once. Each vector then runs from its own layer on, all its multipliers as rows of one
batch; logits of the whole vocabulary exist for some tokens at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tlsteer.errors import PositionError
from tlsteer.evaluate.curve_files import CurveRun
from tlsteer.evaluate.keys import measurement_key
from tlsteer.lean import LeanModel, Run, boundary, lean_or_plain
from tlsteer.lean.run import Edits
from tlsteer.positions import Positions, Prompt
from tlsteer.residuals import chosen_mask
from tlsteer.steering import Intervention, Write, attach
from tlsteer.surface import Surface
from tlsteer.tokens import batches, pad
from tlsteer.vectors import SteeringVector

# A vector with the multipliers it is measured at.
Job = tuple[SteeringVector, Sequence[float]]

# KL and surprisal of each token, in nats; NaN at tokens that do not count.
TokenDivergences = Float[np.ndarray, "2 multiplier text pos"]

# Vectors measured together share the unsteered run; those before them are safe in a run's folder.
_TOGETHER = 8

# How many logits exist at once, of some tokens by the fast path and of whole texts by the plain one.
_MOST_LOGITS, _MOST_PLAIN_LOGITS = 2**24, 2**26


def token_divergences(
    surface: Surface,
    rows: Sequence[Sequence[int]],
    jobs: Sequence[Job],
    positions: Positions = "all",
    *,
    batch_size: int = 32,
    max_batch_tokens: int = 4096,
    engine: Literal["auto", "plain"] = "auto",
    run: CurveRun | None = None,
) -> Iterator[TokenDivergences]:
    """KL(unsteered || steered) and the steered surprisal of the next token, at each token of texts: one array a job.

    Tokens before the first steered one, which no vector reaches, and the last, whose next token is not known, do
    not count. A distribution that is not one any more (infinite logits) is infinitely far.

    Args:
        surface: the model.
        rows: ids of each text.
        jobs: vectors, each with its multipliers.
        positions: which tokens are steered; to "completion" the whole text is the completion, to all others the prompt.
        batch_size: texts run at once.
        max_batch_tokens: tokens run at once; bounds memory.
        engine: "auto" uses the fast path where the model can be cut; "plain" runs every text in every setting.
        run: where finished jobs are kept.

    Raises:
        VectorError: a vector of another model.
        SiteError: a site this model does not have.
        PositionError: positions that select no token whose next one is known in a text.
    """
    run = run or CurveRun(None)
    settings = [[list(row) for row in rows], repr(positions)]
    keys = [measurement_key(surface, vector, "token effects", *settings, list(ms)) for vector, ms in jobs]
    kept = [run.finished(key) for key in keys]
    todo = [job for job, known in zip(jobs, kept, strict=True) if known is None]
    found = _measured(surface, rows, todo, positions, batch_size, max_batch_tokens, engine)
    for key, known in zip(keys, kept, strict=True):
        if known is None:
            known = next(found)
            run.keep(key, known)
        yield known


def _measured(
    surface: Surface,
    rows: Sequence[Sequence[int]],
    jobs: Sequence[Job],
    positions: Positions,
    batch_size: int,
    max_batch_tokens: int,
    engine: str,
) -> Iterator[TokenDivergences]:
    runner = lean_or_plain(surface) if engine == "auto" else surface
    width = max(map(len, rows)) - 1
    at_once = max_batch_tokens if isinstance(runner, LeanModel) else _MOST_PLAIN_LOGITS // surface.model.cfg.d_vocab
    size = max(1, min(batch_size, at_once // (width + 1)))
    for start in range(0, len(jobs), _TOGETHER):
        some = jobs[start : start + _TOGETHER]
        writes = [Intervention(vector, positions=positions).write(surface) for vector, _ in some]
        for write in writes:
            surface.write_name(write.site)
        found = [np.full((2, len(ms), len(rows), width), np.nan, np.float32) for _, ms in some]
        for batch in batches(rows, size, "neutral texts", progress=False):
            texts = _Texts.of(surface, [rows[i] for i in batch], positions)
            if isinstance(runner, LeanModel):
                parts = _fast(runner, texts, writes, [ms for _, ms in some], max_batch_tokens)
            else:
                parts = _plain(surface, texts, some, positions)
            counted = texts.counted[:, :-1].cpu()
            for array, part in zip(found, parts, strict=True):
                filled = torch.full((*part.shape[:2], *counted.shape), torch.nan)
                filled[:, :, counted] = part.nan_to_num(nan=torch.inf)
                array[:, :, batch, : counted.shape[1]] = filled.numpy()
        yield from found


@dataclass(frozen=True)
class _Texts:
    """A right-padded batch of texts.

    Attributes:
        tokens: ids.
        real: False at padding.
        steered: which tokens are.
        counted: tokens from the first steered one on, as far as the next token is known.
        lengths: how much of each text is prompt.
    """

    tokens: Int[Tensor, "text pos"]
    real: Bool[Tensor, "text pos"]
    steered: Bool[Tensor, "text pos"]
    counted: Bool[Tensor, "text pos"]
    lengths: list[int]

    @classmethod
    def of(cls, surface: Surface, rows: Sequence[Sequence[int]], positions: Positions) -> _Texts:
        tokens, real = pad(surface, rows, "right")
        whole = isinstance(positions, str) and positions == "completion"
        lengths = torch.ones_like(real.sum(1)) if whole else real.sum(1)
        steered = chosen_mask(positions, Prompt(tokens, real, lengths), surface)
        counted = (steered.cumsum(1) > 0) & torch.nn.functional.pad(real[:, 1:], (0, 1))
        if not counted.any(1).all():
            text = surface.decode(list(rows[int((~counted.any(1)).nonzero()[0])]))
            raise PositionError(
                f"positions={positions!r} steer no token of the neutral text {text!r} that has another after it"
            )
        return cls(tokens, real, steered, counted, lengths.tolist())

    @property
    def targets(self) -> Int[Tensor, " tokens"]:
        """The next token of each counted one."""
        return self.tokens.roll(-1, 1)[self.counted]


@torch.no_grad()
def _fast(
    model: LeanModel,
    texts: _Texts,
    writes: Sequence[Write],
    multipliers: Sequence[Sequence[float]],
    max_batch_tokens: int,
) -> Iterator[Float[Tensor, "2 multiplier tokens"]]:
    """For each vector, from its own layer on."""
    real, counted = texts.real, texts.counted
    n_texts, width = real.shape
    see = real[:, None, :] & torch.ones(width, width, dtype=torch.bool, device=real.device).tril()
    index = (real.long().cumsum(1) - 1).clamp(min=0)
    layers = frozenset(boundary(write.site)[0] for write in writes)
    run = Run(None, [0] * n_texts, keep=layers, read=counted)
    unsteered = model.run(run, see, index, tokens=texts.tokens)[counted]
    for write, strengths in zip(writes, multipliers, strict=True):
        hidden = [unsteered] * len(strengths)
        todo = [i for i, strength in enumerate(strengths) if strength]
        at_once = max(1, max_batch_tokens // real.numel())
        for some in (todo[i : i + at_once] for i in range(0, len(todo), at_once)):
            n = len(some)
            scale = torch.tensor([float(strengths[i]) for i in some], device=real.device)
            strength = scale.repeat_interleave(n_texts)[:, None] * texts.steered.repeat(n, 1)
            place = boundary(write.site)
            states = run.kept[place[0]].repeat(n, 1, 1)
            edits: Edits = {place: [(0, None, partial(write.added, strength=strength))]}
            steered = Run(states, [place[0]] * len(states), edits, read=counted.repeat(n, 1))
            after = model.run(steered, see.repeat(n, 1, 1), index.repeat(n, 1))
            for i, one in zip(some, after.unflatten(0, (n, n_texts)), strict=True):
                hidden[i] = one[counted]
        yield _compare(model, unsteered, hidden, texts.targets)


def _compare(
    model: LeanModel,
    unsteered: Float[Tensor, "tokens d_model"],
    steered: Sequence[Float[Tensor, "tokens d_model"]],
    targets: Int[Tensor, " tokens"],
) -> Float[Tensor, "2 multiplier tokens"]:
    step = max(1, _MOST_LOGITS // model.surface.model.cfg.d_vocab)
    parts = []
    for first in range(0, len(targets), step):
        some = slice(first, first + step)
        before = _Before.of(model.head.logits(unsteered[some]), targets[some])
        # At multiplier 0 the very same residual is read.
        parts.append([before.effects(None if one is unsteered else model.head.logits(one[some])) for one in steered])
    return torch.stack([torch.cat(pieces, 1) for pieces in zip(*parts, strict=True)], 1)


@torch.no_grad()
def _plain(
    surface: Surface, texts: _Texts, jobs: Sequence[Job], positions: Positions
) -> Iterator[Float[Tensor, "2 multiplier tokens"]]:
    """For each vector, by a full hooked pass at each multiplier."""
    before = _Before.of(surface.forward(texts.tokens, texts.real)[texts.counted], texts.targets)
    for vector, multipliers in jobs:
        found = []
        for multiplier in multipliers:
            logits = None
            if multiplier:
                with attach(surface, [Intervention(vector, multiplier, positions).write(surface)], texts.lengths):
                    logits = surface.forward(texts.tokens, texts.real)[texts.counted]
            found.append(before.effects(logits))
        yield torch.stack(found, 1)


@dataclass(frozen=True)
class _Before:
    """The unsteered distributions of some tokens, and the tokens that really come next."""

    logs: Float[Tensor, "tokens d_vocab"]
    chances: Float[Tensor, "tokens d_vocab"]
    targets: Int[Tensor, " tokens"]

    @classmethod
    def of(cls, logits: Float[Tensor, "tokens d_vocab"], targets: Int[Tensor, " tokens"]) -> _Before:
        logs = logits.float().log_softmax(-1)
        return cls(logs, logs.exp(), targets)

    def effects(self, logits: Float[Tensor, "tokens d_vocab"] | None) -> Float[Tensor, "2 tokens"]:
        """KL to the distributions of these logits, and their surprisal at the targets; None for unsteered ones."""
        after = self.logs if logits is None else logits.float().log_softmax(-1)
        surprisal = -after.gather(1, self.targets[:, None])[:, 0]
        # Rounding takes the divergence of nearly equal distributions below 0.
        divergence = torch.linalg.vecdot(self.chances, self.logs - after).clamp(min=0)
        return torch.stack([divergence, surprisal]).cpu()
