"""Greedy text under one vector at a middle layer, with a key-value cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from benchmarks import field
from benchmarks.floor import Block, unembedding
from benchmarks.measure import Contest, Mismatch, Rival
from benchmarks.shapes import Lab, text
from tlsteer import SteeringVector, generate

N_PROMPT, N_NEW = 48, 32


def contests(lab: Lab, quick: bool) -> Iterator[Contest]:
    n_prompts = 8 if quick else 32
    # One length: a batch without padding is what every rival handles rightly.
    prompts = [text(N_PROMPT, 900 + i) for i in range(n_prompts)]
    layer = lab.n_layers // 2
    vector = torch.randn(lab.d_model, generator=torch.Generator().manual_seed(0))

    def ours() -> list[str]:
        steering = SteeringVector(vector, layer)
        return generate(lab.steered, prompts, steering, max_new_tokens=N_NEW, progress=False)

    def agrees(own: list[str], tokens: Tensor) -> None:
        expected = lab.tokenizer.batch_decode(tokens[:, N_PROMPT:], skip_special_tokens=True)
        unequal = sum(one != other for one, other in zip(own, expected, strict=True))
        if unequal:
            raise Mismatch(f"{unequal} of {n_prompts} texts differ")

    rivals = [
        Rival("HF generate with a hook", lambda: in_hugging_face(lab, prompts, layer, vector), agrees, 1.0),
        Rival("TransformerBridge.generate", lambda: in_transformer_lens(lab, prompts, layer, vector), agrees, 1.3),
    ]
    try:
        rivals.append(Rival("steering-vectors", with_steering_vectors(lab, prompts, layer, vector), agrees))
    except ImportError as missing:
        print(f"without steering-vectors: {missing}")
    size = f"{n_prompts} prompts of {N_PROMPT}, {N_NEW} tokens"
    yield Contest("steered generation", size, ours, rivals, n_prompts * flops(lab))


def flops(lab: Lab) -> float:
    """For one prompt; its own tokens and all but the last new one are run."""
    block = Block.of(lab)
    prompt = (lab.n_layers - 1) * block.whole(N_PROMPT, N_PROMPT / 2) + block.last(N_PROMPT, 1, N_PROMPT)
    new = (N_NEW - 1) * lab.n_layers * block.whole(1, N_PROMPT + N_NEW / 2)
    return prompt + new + unembedding(lab, N_NEW)


def in_hugging_face(lab: Lab, prompts: list[str], layer: int, vector: Tensor) -> Tensor:
    with field.added_in_hugging_face(lab.hugging_face, layer, vector):
        return _generated(lab, prompts)


def in_transformer_lens(lab: Lab, prompts: list[str], layer: int, vector: Tensor) -> Tensor:
    with lab.rival_bridge.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", field.adding(vector))]):
        return lab.rival_bridge.generate(
            lab.batch(prompts), max_new_tokens=N_NEW, do_sample=False, stop_at_eos=False, return_type="tokens",
            verbose=False,
        )  # fmt: skip


def with_steering_vectors(lab: Lab, prompts: list[str], layer: int, vector: Tensor) -> Callable[[], Tensor]:
    package: Any = import_module("steering_vectors")
    # It writes what leaves a block.
    steering = package.SteeringVector({layer - 1: vector}, "decoder_block")

    def run() -> Tensor:
        with steering.apply(lab.hugging_face):
            return _generated(lab, prompts)

    return run


def _generated(lab: Lab, prompts: list[str]) -> Tensor:
    tokens = lab.batch(prompts)
    return lab.hugging_face.generate(
        tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=N_NEW, min_new_tokens=N_NEW, do_sample=False
    )
