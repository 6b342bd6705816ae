"""Vectors on models of Hugging Face transformers as they are, without TransformerLens."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from tlsteer._arguments import checked
from tlsteer._numbers import Number
from tlsteer._vector_hooks import steering
from tlsteer.errors import ModelError, SiteError, VectorError
from tlsteer.exchange._said import check_all_tokens, site_of
from tlsteer.steering import Intervention, Interventions, listed


@checked
@contextmanager
def to_transformers(network: nn.Module, vectors: Interventions, multiplier: Number = 1.0) -> Iterator[None]:
    """Steers every forward pass of a transformers model inside the context, then leaves it as it was.

    Calling it, `generate` and pipelines are steered alike, with every operation, at all tokens: nothing here tells a
    prompt from a completion. Whether a vector was made on these weights cannot be told outside TransformerLens, which a
    warning says; its width is checked.

    Args:
        network: a causal language model of transformers.
        vectors: a vector, a `VectorSet`, or interventions at all tokens.
        multiplier: of bare vectors and sets.

    Raises:
        ModelError: a model whose list of blocks is not found, or an encoder with a decoder.
        SiteError: a layer that it does not have, or mid, which only TransformerLens shows.
        VectorError: vectors of another width or of centred weights, or one for each row.
        PositionError: from `Intervention`, unknown positions.

    >>> from transformers import AutoModelForCausalLM
    >>> network = AutoModelForCausalLM.from_pretrained(organism.MODELS["organism"])
    >>> with to_transformers(network, vector, 2.0):
    ...     logits = network(tokens.ids, attention_mask=tokens.mask).logits
    """
    blocks, width = _blocks(network)
    todo = listed(vectors, multiplier)
    hooks = [_hook(one, blocks, width, type(network).__name__) for one in todo]
    if made := {vector.provenance.model for one in todo for vector in one.vectors if vector.provenance.fingerprint}:
        warnings.warn(
            f"whether the vectors (made on {', '.join(sorted(made))}) were made on the weights of this "
            f"{type(network).__name__} is not checked; tlsteer.load_model(...) and steer(...) check it",
            stacklevel=3,
        )
    with ExitStack() as added:
        for register, hook in hooks:
            added.callback(register(hook, with_kwargs=True).remove)
        yield


def _blocks(network: nn.Module) -> tuple[nn.ModuleList, int]:
    """The blocks of the decoder, and the width of what goes through them."""
    config: Any = getattr(network, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise ModelError(f"a {type(network).__name__} is no model of transformers; one of TransformerLens takes steer")
    config = config.get_text_config(decoder=True)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{type(network).__name__} has an encoder and a decoder; a vector is for one stream")
    n_layers, width = config.num_hidden_layers, config.hidden_size
    lists = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_layers
    ]
    # Lists inside blocks (experts) may be as long as the list of blocks.
    outer = [one for name, one in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    if len(outer) != 1:
        raise ModelError(
            f"{type(network).__name__} has {len(outer)} lists of {n_layers} modules, and which of them are its blocks "
            "is not known; load it by tlsteer.load_model(...)"
        )
    return outer[0], width


def _hook(one: Intervention, blocks: nn.ModuleList, width: int, name: str) -> tuple[Callable[..., Any], Callable]:
    check_all_tokens(one, "models of transformers")
    (vector,) = one.vectors
    if vector.d_model != width:
        raise VectorError(f"the vector has width {vector.d_model}, but this {name} has width {width}")
    if "centered" in vector.provenance.weight_processing:
        raise VectorError(
            f"the vector was made on {vector.provenance.model!r} with {vector.provenance.weight_processing} weights, "
            "and centring moves the residual stream away from that of transformers; make it on raw weights"
        )
    site = site_of(one).resolve(len(blocks))
    if site.stage == "mid":
        raise SiteError(f"a block of transformers does not show {site!r}; use pre or post, or tlsteer.steer(...)")
    edit = steering(one.applied, vector.tensor, one.multipliers[0])
    block = blocks[site.layer]
    if site.stage == "pre":
        return block.register_forward_pre_hook, partial(_enter, edit)
    return block.register_forward_hook, partial(_leave, edit)


def _enter(edit: Callable[[Tensor], Tensor], _block: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    if args:
        return (edit(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}


def _leave(edit: Callable[[Tensor], Tensor], _block: Any, _args: tuple, _kwargs: dict, output: Any) -> Any:
    return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)
