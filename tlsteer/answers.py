"""The balance between two answers under many vectors and multipliers at once: the inside of a propensity curve.

The prompts are run once. Tokens before the first steered one keep their keys and values, so steering the last
tokens of a prompt re-runs those alone; multiplier 0 is the unsteered prompt itself; the answers' logits are read
at the last token only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from tlsteer.errors import PositionError
from tlsteer.lean import KeyValues, LeanModel, Run, boundary, lean_or_plain
from tlsteer.positions import Positions, Prompt, resolve
from tlsteer.steering import Intervention, Write, attach
from tlsteer.surface import Surface
from tlsteer.tokens import batches, pad
from tlsteer.vectors import SteeringVector

# Up to this many steered tokens of one prompt are branches of its row; more of them become rows of their own.
_MOST_BRANCH_TOKENS = 160


@torch.no_grad()
def answer_logits(
    surface: Surface,
    rows: Sequence[Sequence[int]],
    answers: Int[Tensor, "prompt answer"],
    vectors: Sequence[SteeringVector],
    multipliers: Sequence[float],
    positions: Positions = "all",
    *,
    batch_size: int = 32,
    max_batch_tokens: int = 8192,
    engine: Literal["auto", "plain"] = "auto",
    progress: bool = True,
) -> Float[Tensor, "vector multiplier prompt answer"]:
    """Logits of given answer tokens at the end of each prompt, under each vector at each multiplier.

    Args:
        surface: the model.
        rows: ids of each prompt.
        answers: ids whose logits are read, for each prompt.
        vectors: each at its own site, with its own operation.
        multipliers: see `Intervention`.
        positions: which tokens of the prompt are steered.
        batch_size: prompts run at once.
        max_batch_tokens: steered tokens run at once; bounds memory.
        engine: "auto" uses the fast path where the model can be cut; "plain" runs every prompt in every setting.
        progress: show a bar.

    Raises:
        VectorError: a vector of another model.
        SiteError: a site this model does not have.
        PositionError: positions that select nothing in a prompt.
    """
    writes = [Intervention(vector, positions=positions).write(surface) for vector in vectors]
    for write in writes:
        surface.write_name(write.site)
    found = torch.zeros(len(vectors), len(multipliers), len(rows), answers.shape[1])
    runner = lean_or_plain(surface) if engine == "auto" else surface
    n_parts = len(vectors) * -(-len(rows) // batch_size)
    with tqdm(total=n_parts, desc="answers", unit="batch", disable=not progress or n_parts < 8) as bar:
        for batch in batches(rows, batch_size, "answers", progress=False):
            prompts = [rows[i] for i in batch]
            if isinstance(runner, LeanModel):
                parts = _fast(runner, prompts, answers[batch], writes, multipliers, positions, max_batch_tokens)
            else:
                parts = _plain(surface, prompts, answers[batch], vectors, multipliers, positions)
            for number, logits in enumerate(parts):
                found[number][:, batch] = logits
                bar.update()
    return found


def _plain(
    surface: Surface,
    prompts: Sequence[Sequence[int]],
    answers: Int[Tensor, "prompt answer"],
    vectors: Sequence[SteeringVector],
    multipliers: Sequence[float],
    positions: Positions,
) -> Iterator[Float[Tensor, "multiplier prompt answer"]]:
    """For each vector, by a full hooked pass at each multiplier."""
    tokens, mask = pad(surface, prompts, "left")
    for vector in vectors:
        logits = []
        for multiplier in multipliers:
            with attach(surface, [Intervention(vector, multiplier, positions).write(surface)]):
                last = surface.forward(tokens, mask, last=True)[:, -1].float().cpu()
            logits.append(last.gather(1, answers))
        yield torch.stack(logits)


def _fast(
    model: LeanModel,
    prompts: Sequence[Sequence[int]],
    answers: Int[Tensor, "prompt answer"],
    writes: Sequence[Write],
    multipliers: Sequence[float],
    positions: Positions,
    max_batch_tokens: int,
) -> Iterator[Float[Tensor, "multiplier prompt answer"]]:
    """For each vector, from its own layer and the first steered token on."""
    batch = _Prompts.of(model, prompts, positions, frozenset(boundary(write.site)[0] for write in writes))
    answers = answers.to(batch.tokens.device)
    unsteered = model.head.answer_logits(batch.last, answers)
    steered = [multiplier for multiplier in multipliers if multiplier]
    for write in writes:
        logits = unsteered.expand(len(multipliers), *unsteered.shape).clone()
        if steered:
            strengths = torch.tensor(steered, device=batch.tokens.device)
            hidden = torch.cat(list(batch.steered(model, write, strengths, max_batch_tokens)))
            found = torch.stack([model.head.answer_logits(one, answers) for one in hidden])
            logits[torch.tensor([bool(multiplier) for multiplier in multipliers])] = found
        yield logits.float().cpu()


@dataclass(frozen=True)
class _Prompts:
    """A left-padded batch of prompts that has been run unsteered, split at the first steered token.

    Attributes:
        tokens: ids.
        index: each token's index in its prompt.
        see: which tokens each token attends to.
        mask: which tokens are steered, from the split on.
        n_prefix: columns before the split.
        states: the residual that enters layers, from the split on.
        prefix: keys and values before the split.
        last: the residual after the final norm at the last token.
    """

    tokens: Int[Tensor, "prompt pos"]
    index: Int[Tensor, "prompt pos"]
    see: Bool[Tensor, "prompt pos pos"]
    mask: Bool[Tensor, "prompt suffix"]
    n_prefix: int
    states: dict[int, Float[Tensor, "prompt suffix d_model"]]
    prefix: KeyValues
    last: Float[Tensor, "prompt d_model"]

    @classmethod
    def of(
        cls, model: LeanModel, prompts: Sequence[Sequence[int]], positions: Positions, layers: frozenset[int]
    ) -> _Prompts:
        tokens, real = pad(model.surface, prompts, "left")
        index = real.long().cumsum(1) - 1
        prompt = Prompt(tokens, real, real.sum(1))
        mask = resolve(positions, prompt, model.surface.decode).mask(index, real, 0)
        if not mask.any(1).all():
            raise PositionError(f"positions={positions!r} select nothing in prompt {int((~mask.any(1)).nonzero()[0])}")
        n_prefix = int(mask.any(0).long().argmax())
        width = tokens.shape[1]
        see = real[:, None, :] & torch.ones(width, width, dtype=torch.bool, device=tokens.device).tril()
        record = KeyValues(record=True)
        run = Run(None, [0] * len(prompts), keep=layers, read=_last_column(real))
        hidden = model.run(run, see, index.clamp(min=0), tokens=tokens, cache=record)
        least = min(layers)
        kept = {layer: residual[:, n_prefix:] for layer, residual in run.kept.items()}
        prefix = {
            layer: (keys[:, :, :n_prefix], values[:, :, :n_prefix])
            for layer, (keys, values) in record.layers.items()
            if layer >= least
        }
        return cls(
            tokens, index.clamp(min=0), see, mask[:, n_prefix:], n_prefix, kept, KeyValues(False, prefix), hidden[:, -1]
        )

    def steered(
        self, model: LeanModel, write: Write, strengths: Float[Tensor, " multiplier"], max_batch_tokens: int
    ) -> Iterator[Float[Tensor, "multiplier prompt d_model"]]:
        """The last token's residual after the final norm at some multipliers at a time."""
        n_prompts, n_suffix = self.mask.shape
        as_branches = n_suffix * len(strengths) <= _MOST_BRANCH_TOKENS and self.n_prefix > 0
        at_once = len(strengths) if as_branches else max(1, max_batch_tokens // (n_prompts * n_suffix))
        for some in strengths.split(at_once):
            yield (self._branches if as_branches else self._rows)(model, write, some)

    def _branches(
        self, model: LeanModel, write: Write, strengths: Tensor
    ) -> Float[Tensor, "multiplier prompt d_model"]:
        """Each multiplier's suffix as a branch of the prompt's own row: the prefix is shared as it is."""
        n, n_suffix = len(strengths), self.mask.shape[1]
        suffix = self.see[:, self.n_prefix :, self.n_prefix :].float()
        own = torch.stack([torch.block_diag(*[one] * n) for one in suffix]).bool()
        see = torch.cat([self.see[:, self.n_prefix :, : self.n_prefix].repeat(1, n, 1), own], 2)
        index = self.index[:, self.n_prefix :].repeat(1, n)
        strength = strengths.repeat_interleave(n_suffix) * self.mask.repeat(1, n)
        last = torch.arange(n, device=index.device) * n_suffix + n_suffix - 1
        states = self.states[boundary(write.site)[0]].repeat(1, n, 1)
        hidden = self._run(
            model, write, states, strength, see, index, self.index[:, : self.n_prefix], self.prefix, last
        )
        return hidden[:, last].transpose(0, 1)

    def _rows(self, model: LeanModel, write: Write, strengths: Tensor) -> Float[Tensor, "multiplier prompt d_model"]:
        """Each multiplier's suffix as rows of its own."""
        n = len(strengths)
        see = self.see[:, self.n_prefix :].repeat(n, 1, 1)
        index = self.index.repeat(n, 1)
        strength = strengths.repeat_interleave(len(self.mask))[:, None] * self.mask.repeat(n, 1)
        states = self.states[boundary(write.site)[0]].repeat(n, 1, 1)
        prefix = KeyValues(
            False, {layer: (k.repeat(n, 1, 1, 1), v.repeat(n, 1, 1, 1)) for layer, (k, v) in self.prefix.layers.items()}
        )
        last = torch.tensor([strength.shape[1] - 1], device=index.device)
        before, after = index[:, : self.n_prefix], index[:, self.n_prefix :]
        hidden = self._run(model, write, states, strength, see, after, before, prefix, last)
        return hidden[:, -1].unflatten(0, (n, -1))

    def _run(
        self,
        model: LeanModel,
        write: Write,
        states: Float[Tensor, "rows queries d_model"],
        strength: Float[Tensor, "rows queries"],
        see: Bool[Tensor, "rows queries keys"],
        index: Int[Tensor, "rows queries"],
        index_before: Int[Tensor, "rows prefix"],
        prefix: KeyValues,
        last: Int[Tensor, " reads"],
    ) -> Float[Tensor, "rows queries d_model"]:
        read = torch.zeros(strength.shape, dtype=torch.bool, device=strength.device)
        read[:, last] = True
        layer = boundary(write.site)[0]
        run = Run(
            states,
            [layer] * len(states),
            {boundary(write.site): [(0, None, partial(write.added, strength=strength))]},
            read=read,
        )
        keys = torch.cat([index_before, index], 1)
        return model.run(run, see, index, keys, cache=prefix if self.n_prefix else None)


def _last_column(real: Bool[Tensor, "prompt pos"]) -> Bool[Tensor, "prompt pos"]:
    read = torch.zeros_like(real)
    read[:, -1] = True
    return read
