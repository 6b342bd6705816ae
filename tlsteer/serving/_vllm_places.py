"""Where the residual stream of a model stands inside vLLM's own modules, and how it is edited there.

vLLM's decoder layers come in two forms. Most (Llama, Qwen, Gemma, Mistral) carry the stream in two parts, what was
added last and all before it, and join them in the norms: adding to the first part adds to the stream. Others (GPT-2,
and models that vLLM takes from transformers, such as GPT-NeoX) hand on the stream itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from tlsteer.errors import ModelError

# Edits a part of the stream in place: that part, the rest of the stream where there is one, the layer and the stage.
EditStream = Callable[[Tensor, Tensor | None, int, str], object]

# What comes after attention: the first of these that a layer has joins the two parts of the stream.
_JOINING = ("pre_feedforward_layernorm", "post_attention_layernorm")
_ATTENTION = ("attn", "attention", "self_attn")


def hook_layers(model: nn.Module, n_layers: int, edit: EditStream) -> None:
    """Has every site of a model as vLLM has it edited, whenever the model runs.

    Hooks do nothing but call `edit`, so that they can be traced when the model is compiled.

    Raises:
        ModelError: it is not made of decoder layers in one of the forms above.
    """
    for number, layer in enumerate(_decoder_layers(model, n_layers)):
        _hook_layer(layer, number, edit)


def _decoder_layers(model: nn.Module, n_layers: int) -> list[nn.Module]:
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers and name.rpartition(".")[2] in ("layers", "h"):
            return list(module)
    raise ModelError(f"vLLM's {type(model).__name__} is not made of {n_layers} decoder layers, so nothing steers it")


def _hook_layer(layer: nn.Module, number: int, edit: EditStream) -> None:
    names = list(inspect.signature(layer.forward).parameters)
    if "hidden_states" not in names:
        raise ModelError(f"vLLM's {type(layer).__name__} takes no hidden_states, so nothing steers it")
    is_carried = "residual" in names
    entering: list[Tensor] = []

    def argument(name: str, given: tuple, named: dict[str, Any]) -> Any:
        place = names.index(name)
        return given[place] if place < len(given) else named.get(name)

    def before(_module: nn.Module, given: tuple, named: dict[str, Any]) -> None:
        stream = argument("hidden_states", given, named)
        edit(stream, argument("residual", given, named) if is_carried else None, number, "pre")
        if not is_carried:
            entering[:] = [stream]

    def joining(_module: nn.Module, given: tuple) -> None:
        # One whose norms do not join the parts is found out when the engine starts.
        edit(given[0], given[1] if len(given) > 1 else None, number, "mid")

    def attended(_module: nn.Module, _given: tuple, result: Any) -> None:
        edit(_parts(result)[0], entering[0], number, "mid")

    def after(_module: nn.Module, _given: tuple, result: Any) -> None:
        entering.clear()
        edit(*_parts(result), number, "post")

    layer.register_forward_pre_hook(before, with_kwargs=True)
    layer.register_forward_hook(after)
    found = [
        one for name in (_JOINING if is_carried else _ATTENTION) if (one := getattr(layer, name, None)) is not None
    ]
    if found and is_carried:
        found[0].register_forward_pre_hook(joining)
    elif found:
        found[0].register_forward_hook(attended)


def _parts(result: Any) -> tuple[Tensor, Tensor | None]:
    """What is added to, and the rest of the stream where there is one."""
    if not isinstance(result, tuple):
        return result, None
    part, *others = result
    rest = others[0] if others else None
    return part, rest if isinstance(rest, Tensor) and rest.shape == part.shape else None
