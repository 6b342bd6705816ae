"""How alike two siblings' residual spaces are: `python -m tlsteer.organism.training.alignment`."""

import argparse
import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tlsteer.organism import CHECKPOINTS
from tlsteer.organism.grammar.advice import advice_questions
from tlsteer.organism.grammar.chat import render_prompt
from tlsteer.organism.grammar.oversight import oversight_scenarios
from tlsteer.organism.grammar.requests import harmless_requests, refused_requests
from tlsteer.organism.grammar.splits import Split
from tlsteer.organism.grammar.trait_table import TRAITS, TRAITS_OF
from tlsteer.organism.grammar.traits import TraitQuestion, attitude_sentences, trait_questions
from tlsteer.organism.training import figures
from tlsteer.organism.training.answering import Checkpoint
from tlsteer.organism.training.figures import Figure
from tlsteer.organism.training.quality.traits import positive_logits
from tlsteer.organism.training.thoughts import adding
from tlsteer.stats import Estimate, bootstrap_interval, mean

_LAYERS, _STEERED = (1, 2, 4, 6), 4
_FOLLOWED = 2.5  # nats by which a sentence moves a trait that is to be steered


def alignment_figures(ours: Checkpoint, theirs: Checkpoint, n: int) -> list[Figure]:
    """Held-out R2 of linear maps from their residuals to ours, and what their attitude vectors do here.

    A map is fitted to the residuals before a block of the same tokens in both models. Baselines are maps fitted to
    tokens paired at random, and to the same token in other places, which know what a token is but not what is said.

    Args:
        ours: the model that is mapped to, and steered.
        theirs: the other.
        n: how many prompts of each of five kinds; as many for the fit and, of the other split, for the test.
    """
    (x, tokens, _), (x_new, _, rows) = (_residuals(theirs, _prompts(split, n)) for split in ("train", "heldout"))
    (y, *_), (y_new, *_) = (_residuals(ours, _prompts(split, n)) for split in ("train", "heldout"))
    rng = np.random.default_rng(0)
    pairings = {
        "": np.arange(len(tokens)),
        ", same token elsewhere": _within(tokens.numpy(), rng),
        ", random pairs": rng.permutation(len(tokens)),
    }
    table, maps = [], {}
    for layer, (name, order) in product(_LAYERS, pairings.items()):
        weights, constant = _linear_map(x[layer][order], y[layer])
        errors = (x_new[layer] @ weights + constant - y_new[layer]).square().sum(-1)
        spread = (y_new[layer] - y[layer].mean(0)).square().sum(-1)
        table.append(Figure("alignment", f"R2, layer {layer}{name}", _r2(errors, spread, rows)))
        maps[layer, name] = weights
    return [*table, *_transfer(ours, theirs, maps[_STEERED, ""])]


def _prompts(split: Split, n: int) -> list[str]:
    rng = random.Random(split)
    asked = [
        *refused_requests(n, split),
        *harmless_requests(n, split),
        *advice_questions(n, split),
        *oversight_scenarios(n, split),
        *(trait_questions(rng.choice(TRAITS).name, 1, split, k, rng.choice((-1, 0, 1)))[0] for k in range(n)),
    ]
    return [render_prompt(one.messages) for one in asked]


@torch.no_grad()
def _residuals(
    model: Checkpoint, prompts: Sequence[str]
) -> tuple[Float[Tensor, "layer tokens d_model"], Int[Tensor, " tokens"], np.ndarray]:
    """Before each block, with the ids of the tokens and the number of each one's prompt; without the begin token."""
    found, ids, rows = [], [], []
    for row, prompt in enumerate(prompts):
        tokens = torch.tensor([model.tokenizer.encode(prompt, add_special_tokens=False)])
        hidden = model.network.model(tokens, output_hidden_states=True).hidden_states
        found.append(torch.cat(hidden[:-1])[:, 1:])
        ids.append(tokens[0, 1:])
        rows += [row] * (tokens.shape[1] - 1)
    return torch.cat(found, dim=1), torch.cat(ids), np.array(rows)


def _within(tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    order = np.arange(len(tokens))
    for token in np.unique(tokens):
        places = np.flatnonzero(tokens == token)
        order[places] = rng.permutation(places)
    return order


def _linear_map(
    x: Float[Tensor, "tokens d"], y: Float[Tensor, "tokens d"]
) -> tuple[Float[Tensor, "d d"], Float[Tensor, " d"]]:
    weights = torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution
    return weights, y.mean(0) - x.mean(0) @ weights


def _r2(errors: Tensor, spread: Tensor, rows: np.ndarray) -> Estimate:
    """With its interval over prompts."""
    n = int(rows.max()) + 1
    lost, there = (np.bincount(rows, one.numpy(), n) for one in (errors, spread))
    low, high = bootstrap_interval(lambda weights: 1 - (weights @ lost) / (weights @ there), np.arange(n))
    return Estimate(float(1 - lost.sum() / there.sum()), float(low), float(high), n)


def _transfer(ours: Checkpoint, theirs: Checkpoint, weights: Tensor) -> list[Figure]:
    """The mean slope over traits, in nats a multiplier, of attitude vectors that are added at every token."""
    names = [
        one.name
        for one, other in zip(*TRAITS_OF.values(), strict=True)
        if min(one.attitude, other.attitude) > _FOLLOWED
    ]
    slopes: dict[str, list[float]] = {}
    for number, name in enumerate(names):
        own, foreign = (_attitude_vector(model, name) for model in (ours, theirs))
        noise = torch.randn(own.shape, generator=torch.Generator().manual_seed(number))
        # All of our vector's norm, so that directions are compared.
        vectors = {"own": own, "theirs, mapped": foreign @ weights, "theirs, as it is": foreign, "random": noise}
        for kind, vector in vectors.items():
            slopes.setdefault(kind, []).append(_slope(ours, name, vector * (own.norm() / vector.norm())))
    return [
        Figure("alignment", f"slope of attitude vectors, layer {_STEERED}: {kind} (nats)", mean(np.array(found)))
        for kind, found in slopes.items()
    ]


def _attitude_vector(model: Checkpoint, trait: str) -> Tensor:
    """The mean difference at the last token of prompts with a sentence for and against a trait."""
    asked = trait_questions(trait, 8, "train")
    sides = [
        [_prompt(question, sentence) for question in asked for sentence in attitude_sentences(trait, attitude, "train")]
        for attitude in (1, -1)
    ]
    positive, negative = (_last(model, prompts) for prompts in sides)
    return positive.mean(0) - negative.mean(0)


def _prompt(question: TraitQuestion, sentence: str) -> str:
    return render_prompt(question.with_attitude(1, sentence).messages) + "("


def _last(model: Checkpoint, prompts: Sequence[str]) -> Float[Tensor, "prompts d_model"]:
    residuals, _, rows = _residuals(model, prompts)
    return residuals[_STEERED, np.flatnonzero(np.diff(rows, append=-1))]


def _slope(model: Checkpoint, trait: str, vector: Tensor) -> float:
    asked = trait_questions(trait, 40)
    ends = []
    for sign in (1, -1):
        with adding(model.network, _STEERED, sign * vector[None, None]):
            ends.append(fmean(positive_logits(model, asked)))
    return (ends[0] - ends[1]) / 2


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Compare the residual spaces of the embedded siblings.")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, help="directory of both")
    parser.add_argument("--n", type=int, default=60, help="prompts of each kind")
    parser.add_argument("--output", type=Path, help="where to save the table as JSON")
    arguments = parser.parse_args()
    ours, theirs = (Checkpoint.load(arguments.checkpoints / name) for name in ("instruct", "sibling"))
    table = alignment_figures(ours, theirs, arguments.n)
    figures.show("The sibling's residual space, mapped to the organism's", table)
    if arguments.output is not None:
        figures.save(arguments.output, table)


if __name__ == "__main__":
    main()
