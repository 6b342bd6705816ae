"""A model's own modules without a bridge's wrappers, and the modules that stand in for its blocks."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tlsteer.lean._activations import QuickGelu, is_gelu_by_tanh
from tlsteer.lean._pass import LeanPass
from tlsteer.lean._products import multiply_by_the_faster

# A fused projection of attention, and what a bridge splits it into.
_FUSED = ("qkv", "q", "k", "v")

CurrentPass = Callable[[], LeanPass | None]


@dataclass(frozen=True)
class How:
    """What a view may try in one way or another.

    Attributes:
        attention: transformers' name of an implementation.
        by_head: whether a projection to queries, keys and values gives them head by head, or all queries first.
    """

    attention: Literal["sdpa", "eager"]
    by_head: bool


def unwrap(module: nn.Module, how: How, twins: dict[int, nn.Module], configs: dict[int, Any]) -> Any:
    """A shallow copy of a tree of modules without the bridge's wrappers; parameters and buffers are shared."""
    if hasattr(module, "original_component"):
        return _unwrapped(module, how, twins, configs)
    if id(module) in twins:
        return twins[id(module)]
    if is_gelu_by_tanh(module) and _runs_as_written(type(module)):
        return QuickGelu()
    twin = copy.copy(module)
    twins[id(module)] = twin
    twin.__dict__ = dict(module.__dict__)
    for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        setattr(twin, hooks, OrderedDict())
    if _runs_as_written(type(module)):
        multiply_by_the_faster(twin)
    # Some attention masks columns itself, as if these were positions; which tokens are seen, `Masks` says.
    if any(map(_is_causal, module._buffers.values())):
        twin._buffers = {name: _all_seen(one) for name, one in module._buffers.items()}
    children = module._modules.items()
    twin._modules = {name: None if child is None else unwrap(child, how, twins, configs) for name, child in children}
    config = twin.__dict__.get("config")
    if config is not None:
        if id(config) not in configs:
            configs[id(config)] = copy.deepcopy(config)
            configs[id(config)]._attn_implementation = how.attention
        twin.config = configs[id(config)]
    return twin


def _unwrapped(wrapper: Any, how: How, twins: dict[int, nn.Module], configs: dict[int, Any]) -> Any:
    twin = unwrap(wrapper.original_component, how, twins, configs)
    found: list[Any] = [getattr(wrapper._modules.get(part), "original_component", None) for part in _FUSED]
    fused, *parts = found
    # A bridge runs what it split a fused projection into. Where that is copies, as after `.to(...)`, so does the view.
    if None not in found and all(storage(part.weight) != storage(fused.weight) for part in parts):
        n_groups = wrapper.config.n_heads if how.by_head else 1
        joined = _Joined([unwrap(part, how, twins, configs) for part in parts], n_groups)
        fused = twins.get(id(fused))
        twin._modules = {name: joined if child is fused else child for name, child in twin._modules.items()}
    return twin


def _is_causal(buffer: Any) -> bool:
    return isinstance(buffer, Tensor) and buffer.dtype == torch.bool and buffer.ndim == 4


def _all_seen(buffer: Any) -> Any:
    """A mask that hides nothing, at any size and without its memory; other buffers as they are."""
    return torch.ones_like(buffer[..., :1, :1]).expand(1, 1, 2**30, 2**30) if _is_causal(buffer) else buffer


def storage(weight: Tensor) -> int:
    """Where the memory begins that a tensor's values lie in, which is that of what it is a piece of."""
    return weight.untyped_storage().data_ptr()


def storages(*modules: nn.Module) -> set[int]:
    """Where the weights of modules lie."""
    return {storage(weight) for module in modules for weight in module.parameters()}


def standing(module: nn.Module) -> Iterator[nn.Module]:
    """The modules of a tree without the bridge's wrappers."""
    if hasattr(module, "original_component"):
        yield from standing(module.original_component)  # pyright: ignore[reportArgumentType]
        return
    yield module
    for child in module.children():
        yield from standing(child)


class _Joined(nn.Module):
    """Projections that a bridge split from a fused one, in its place: those run, and their weights are their own."""

    def __init__(self, parts: list[nn.Module], n_groups: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self._n_groups = n_groups

    def forward(self, hidden: Tensor) -> Tensor:
        """What the fused projection gives, in groups of queries, keys and values: one group, or one for each head."""
        parts = [part(hidden).unflatten(-1, (self._n_groups, -1)) for part in self.parts]
        return torch.cat(parts, -1).flatten(-2)


def _runs_as_written(kind: type[nn.Module]) -> bool:
    """Whether a class still has the `forward` that its own file gave it."""
    return kind.forward.__module__ == kind.__module__


class Cut(nn.Module):
    """A block that rows may skip, enter late, or be edited before.

    Args:
        current: the pass under way.
        layer: which block it is.
        block: the block.
        form: shared by the blocks of a model: whether it takes what they give as a tuple, once one has run.
    """

    def __init__(
        self, current: CurrentPass, layer: int, is_last: bool, block: nn.Module, form: dict[str, bool]
    ) -> None:
        super().__init__()
        self.block = block
        self._current, self._layer, self._is_last, self._form = current, layer, is_last, form

    def __getattr__(self, name: str) -> Any:
        # Models ask their blocks for attributes of their own, such as the kind of attention.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The residual after this block."""
        lean_pass = self._current()
        assert lean_pass is not None
        hidden = self._residual(lean_pass, hidden, args, kwargs)
        return (hidden, None) if self._form.get("tuple") else hidden

    def _residual(self, lean_pass: LeanPass, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        layer = self._layer
        if layer == 0 and lean_pass.states is not None:
            hidden = lean_pass.states
        if layer in lean_pass.keep:
            lean_pass.kept[layer] = hidden
        n_rows = hidden.shape[0]
        n_here = sum(start <= layer for start in lean_pass.starts)
        if lean_pass.stop is not None and layer >= lean_pass.stop:
            return hidden
        if n_here:
            part = lean_pass.apply(layer, "pre", hidden[:n_here])
            if (layer, "mid") in lean_pass.edits:
                lean_pass.kept[-1] = part
            if "attention_mask" in kwargs:  # a model may hand one mask to layers whose windows differ
                kwargs = kwargs | {"attention_mask": lean_pass.masks[layer]}
            cut = [_first_rows(one, n_here, n_rows) for one in args]
            named = {name: _first_rows(one, n_here, n_rows, name) for name, one in kwargs.items()}
            output = self.block(part, *cut, **named)
            self._form["tuple"] = isinstance(output, tuple)
            part = output[0] if isinstance(output, tuple) else output
            hidden = part if n_here == n_rows else torch.cat([part, hidden[n_here:]])
        if self._is_last:
            hidden = lean_pass.apply(layer + 1, "pre", hidden)
            if layer + 1 in lean_pass.keep:
                lean_pass.kept[layer + 1] = hidden
        return hidden


def run_at_reads(current: CurrentPass, twin: nn.Module) -> None:
    """Lets a part of the last block run only at the positions that are read; the others get zeros nobody looks at."""
    everywhere = twin.forward

    def forward(*states: Tensor) -> Any:
        lean_pass = current()
        if lean_pass is None or lean_pass.read is None:
            return everywhere(*states)
        # Rows that join only after this block have no part in it.
        read = lean_pass.read[: len(states[0])]
        output = everywhere(*[one[read][None] for one in states])
        found, *rest = output if isinstance(output, tuple) else (output,)
        out = found.new_zeros(*read.shape, found.shape[-1])
        out[read] = found[0]
        return (out, *rest) if isinstance(output, tuple) else out

    twin.__dict__["forward"] = forward


def _first_rows(value: Any, n_here: int, n_rows: int, name: str = "") -> Any:
    if isinstance(value, tuple):
        return tuple(_first_rows(one, n_here, n_rows) for one in value)
    if not isinstance(value, Tensor) or value.ndim < 2:
        return value
    if name == "alibi":  # (rows heads) 1 keys
        return value[: n_here * (len(value) // n_rows)]
    return value[:n_here] if len(value) == n_rows else value
