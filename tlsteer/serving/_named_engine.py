"""Engines by name, for the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tlsteer._arguments import checked
from tlsteer.errors import ModelError
from tlsteer.serving._vllm_engine import VLLM, check_settings
from tlsteer.serving._vllm_versions import check_vllm


def check_engine(name: str) -> dict[str, Any]:
    """The settings in the name of an engine, "vllm" or such as "vllm:max_model_len=2048,gpu_memory_utilization=0.4".

    Raises:
        ModelError: another name, settings that cannot be given, or no vLLM that has been tested.
    """
    kind, _, rest = name.partition(":")
    found: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key.isidentifier():
            raise ModelError(f"engine {name!r}: {part!r} is no setting; write one such as max_model_len=2048")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    if kind != "vllm":
        raise ModelError(f'there is no engine {name!r}; give "vllm", or "vllm:max_model_len=2048" and other settings')
    if taken := [key for key in ("model", "dtype", "device") if key in found]:
        raise ModelError(f"engine {name!r}: {taken[0]} is said apart from the engine")
    check_settings(found)
    check_vllm()
    return found


@checked
def engine_of(name: str, model: str | Path, *, dtype: str | None = None, device: str | None = None) -> VLLM:
    """A model on the engine of a name.

    Args:
        name: see `check_engine`.
        model: see `load_model`.
        dtype: see `load_model`.
        device: of the reference.
    """
    return VLLM(model, dtype=dtype or "float32", device=device or "cpu", **check_engine(name))
