"""Vectors as the declarative interventions that TransformerLens's RemoteBridge takes."""

from __future__ import annotations

from typing import Any

from tlsteer._arguments import checked
from tlsteer._numbers import Number
from tlsteer.exchange._said import added
from tlsteer.steering import Interventions, listed


@checked
def remote_interventions(vectors: Interventions, multiplier: Number = 1.0) -> dict[str, dict[str, Any]]:
    """What to give a RemoteBridge as `intervene=`: an addition for each block, in plain types that can be sent.

    Its driver for vllm-lens gives every residual its former norm unless an entry has `"norm_match": False`, which its
    driver for vLLM in turn does not know.

    Args:
        vectors: a vector, a `VectorSet`, or interventions at all tokens.
        multiplier: of bare vectors and sets.

    Raises:
        VectorError: another operation than adding, some tokens alone, mid, or a place before the first block's output.

    >>> list(remote_interventions(vector, 2.0))
    ['blocks.3.hook_out']
    >>> bridge(prompts[0], intervene=remote_interventions(vector, 2.0))  # doctest: +SKIP
    """
    said = added(listed(vectors, multiplier), "interventions of a RemoteBridge")
    return {f"blocks.{layer}.hook_out": {"op": "add", "value": one.tolist()} for layer, one in said.layers.items()}
