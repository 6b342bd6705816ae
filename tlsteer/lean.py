"""The fast path: a bridge's own Hugging Face modules, without hooks, run from any layer on.

TransformerBridge wraps every module of the Hugging Face model it was booted from, so that each activation has a
hook. `LeanModel` is a second view of the same modules and the same weights without the wrappers. It can start at
any layer from residuals computed before, hold back rows until the layer they join at, keep the keys and values of
a prefix, and stop early. The bridge itself is not touched.

What is computed is checked on every construction: a small steered tree of tokens has to give the logits of the
plain hooked forward pass, or the model is refused with `CannotCut` and the caller takes the plain path.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tlsteer.sites import Site
from tlsteer.steering import Write, attach
from tlsteer.surface import Surface

# What is added to the rows of one edit, given their residual.
Edit = Callable[[Float[Tensor, "rows pos d_model"]], Float[Tensor, "rows pos d_model"]]


class CannotCut(Exception):
    """This model cannot be run from the middle; the plain path has to do."""


@dataclass
class KeyValues:
    """Keys and values by layer, each (rows, heads, positions, d_head): recorded in one run, a prefix in the next.

    Stands in for a Hugging Face cache: attention only ever calls `update`.
    """

    record: bool
    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keys and values that attention shall see: those of the prefix, then the new ones."""
        if self.record:
            self.layers[layer_idx] = keys, values
            return keys, values
        before_keys, before_values = self.layers[layer_idx]
        rows = keys.shape[0]
        return (
            torch.cat([before_keys[:rows].to(keys), keys], -2),
            torch.cat([before_values[:rows].to(values), values], -2),
        )

    def get_seq_length(self, *_: Any) -> int:
        """How many positions came before; they are told by position ids here, so none."""
        return 0


@dataclass
class Run:
    """One pass through the lean model.

    Attributes:
        states: residuals that enter, row by row at that row's own layer; None to start from token embeddings.
        starts: the first layer of each row, ascending; rows wait unchanged until then.
        edits: what is added at a boundary, by (layer, stage) with stage "pre" or "mid"; boundary n_layers is what
            leaves the last block. Each with the first and last+1 row it is for.
        keep: layers whose entering residual is kept in `kept`.
        stop: run only the layers below this.
        read: tokens whose output is read: the last block's MLP runs at these alone.
    """

    states: Float[Tensor, "rows pos d_model"] | None
    starts: list[int]
    edits: dict[tuple[int, str], list[tuple[int, int, Edit]]] = field(default_factory=dict)
    keep: frozenset[int] = frozenset()
    stop: int | None = None
    read: Bool[Tensor, "rows pos"] | None = None
    kept: dict[int, Tensor] = field(default_factory=dict)

    def apply(self, layer: int, stage: str, residual: Tensor, seen: Tensor | None = None) -> Tensor:
        """The residual after the edits of a boundary; edits look at `seen` where that is another tensor."""
        for first, stop, edit in self.edits.get((layer, stage), ()):
            added = edit((residual if seen is None else seen)[first:stop])
            if (first, stop) != (0, residual.shape[0]):
                added = nn.functional.pad(added, (0, 0, 0, 0, first, residual.shape[0] - stop))
            residual = residual + added
        return residual


class LeanModel:
    """The Hugging Face modules of a bridge, unwrapped: same weights, no hooks.

    Args:
        surface: a TransformerBridge's surface.

    Raises:
        CannotCut: not a bridge, an architecture of another form, or one whose results would differ.
    """

    def __init__(self, surface: Surface) -> None:
        if not surface.is_bridge:
            raise CannotCut("it is a HookedTransformer, not a TransformerBridge")
        if any(point.fwd_hooks or point.bwd_hooks for point in surface.model.hook_dict.values()):
            raise CannotCut("it carries hooks, which only the hooked forward pass runs")
        self.surface = surface
        self._run: Run | None = None
        for attention in ("sdpa", "eager"):
            try:
                self._build(attention)
                self._check()
            except CannotCut:
                raise
            except Exception as error:  # whatever an architecture does that this file does not foresee
                failure = error
            else:
                return
        raise CannotCut(f"{type(failure).__name__}: {failure}")

    def _build(self, attention: str) -> None:
        original = self.surface.model.original_model
        twins: dict[int, nn.Module] = {}
        self._top = _unwrap(original, attention, twins, {})
        self._base = self._top.base_model
        self.config = self._base.config
        stacks = [m for m in self._base.children() if isinstance(m, nn.ModuleList) and len(m) == self.n_layers]
        if len(stacks) != 1 or not isinstance(self._base, nn.Module) or self._base is self._top:
            raise CannotCut(f"{type(original).__name__} has no single stack of {self.n_layers} layers")
        self._masks = _mask_kinds(self.config)
        for layer, block in enumerate(stacks[0]):
            self._watch_attention(layer, twins)
            stacks[0][layer] = _Cut(self, layer, block)
        last = stacks[0][-1].get_submodule("block")
        mlp = getattr(last, "mlp", None)
        if isinstance(mlp, nn.Module):
            last.mlp = _AtReads(self, mlp)
        self._head = self._top.get_output_embeddings()

    @property
    def n_layers(self) -> int:
        """How many blocks there are."""
        return self.surface.n_layers

    def _watch_attention(self, layer: int, twins: dict[int, nn.Module]) -> None:
        """Mid is written where what attention adds leaves its module."""
        name = f"blocks.{layer}.hook_attn_out"
        if name not in self.surface.model.hook_dict:
            return
        component = self.surface.model.get_submodule(self.surface.model.hook_dict[name].name.rpartition(".")[0])
        twin = twins.get(id(getattr(component, "original_component", component)))
        if twin is None:
            return

        def after(_module: nn.Module, _args: Any, output: Any) -> Any:
            run = self._run
            if run is None or (layer, "mid") not in run.edits:
                return None
            added, *rest = output if isinstance(output, tuple) else (output,)
            added = run.apply(layer, "mid", added, seen=run.kept[-1] + added)
            return (added, *rest) if isinstance(output, tuple) else added

        twin.register_forward_hook(after)

    def run(
        self,
        run: Run,
        see: Bool[Tensor, "rows queries keys"],
        position_ids: Int[Tensor, "rows queries"],
        key_position_ids: Int[Tensor, "rows keys"] | None = None,
        tokens: Int[Tensor, "rows queries"] | None = None,
        cache: KeyValues | None = None,
    ) -> Float[Tensor, "rows queries d_model"]:
        """The residual after the final norm.

        Args:
            run: where rows start, what is edited, what is kept.
            see: which keys (those of the cache's prefix first) each query attends to.
            position_ids: of the queries.
            key_position_ids: of the keys; those of the queries where there is no prefix.
            tokens: ids, where `run.states` is None.
            cache: keys and values to record, or a prefix.
        """
        states = run.states
        keys = position_ids if key_position_ids is None else key_position_ids
        entering = {"input_ids": tokens} if states is None else {"inputs_embeds": states}
        self._run = run
        try:
            output = self._base(
                **entering,
                attention_mask=self._attention_mask(see, position_ids, keys),
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=cache is not None,
            )
        finally:
            self._run = None
        return output[0]

    def logits(self, hidden: Float[Tensor, "reads d_model"]) -> Float[Tensor, "reads d_vocab"]:
        """What the model says at positions whose residual after the final norm is given."""
        logits = self._head(hidden) * (getattr(self.config, "logit_scale", None) or 1.0)
        logits = logits / (getattr(self.config, "logits_scaling", None) or 1.0)
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _attention_mask(self, see: Tensor, queries: Tensor, keys: Tensor) -> Any:
        # A row without any key to see would be NaN; padding may look at everything, nothing looks at it.
        see = see | ~see.any(-1, keepdim=True)
        dtype = self._head.weight.dtype
        least = torch.finfo(dtype).min
        near = queries[:, :, None] - keys[:, None, :] < (self._masks.get("sliding_attention") or 2**62)
        masks = {
            kind: torch.zeros(see.shape, dtype=dtype, device=see.device)
            .masked_fill_(~(see & near if window else see), least)[:, None]
            for kind, window in self._masks.items()
        }  # fmt: skip
        return masks if len(masks) > 1 else next(iter(masks.values()))

    @torch.no_grad()
    def _check(self) -> None:
        """A steered prompt with two completions, cut at a middle layer, against the plain hooked pass."""
        surface, generator = self.surface, torch.Generator().manual_seed(0)
        device, d_vocab = surface.device, surface.model.cfg.d_vocab
        prompt, first, second = (torch.randint(d_vocab, (n,), generator=generator).tolist() for n in (6, 3, 2))
        vector = torch.randn(1, surface.d_model, generator=generator).to(device)
        layer = self.n_layers // 2
        tree = Tree.of([(prompt, [first, second])], device)
        states = self.residuals(tree, frozenset([layer]))[layer]
        vector = vector * (states[0].float().norm(dim=-1).mean() / vector.norm())
        added = vector[:, None].to(states.dtype)
        run = Run(states, [layer], {(layer, "pre"): [(0, 1, lambda x: added.expand_as(x))]})
        hidden = self.run(run, tree.see, tree.position_ids)
        lean = self.logits(hidden[0, 3:]).float()
        tokens = torch.tensor([prompt + first, [*prompt, *second, second[-1]]], device=device)
        write = Write(Site(layer), vector, torch.ones(1, device=device))
        with attach(surface, [write]):
            plain = surface.forward(tokens, torch.ones_like(tokens, dtype=torch.bool)).float()
        expected = torch.cat([plain[0, 3:], plain[1, len(prompt) : len(prompt) + len(second)]])
        scale, error = expected.std().item(), (lean - expected).abs().max().item()
        allowed = 1e-3 if states.dtype == torch.float32 else 0.1
        if not error <= allowed * max(scale, 1e-3):
            raise RuntimeError(f"its logits differ by {error:.2g} (spread {scale:.2g}) from the plain pass")

    @torch.no_grad()
    def residuals(self, tree: Tree, layers: frozenset[int], cache: KeyValues | None = None) -> dict[int, Tensor]:
        """The residual that enters each of some layers (n_layers: what leaves the last), for every token."""
        run = Run(None, [0] * len(tree.tokens), keep=layers, stop=max(layers))
        self.run(run, tree.see, tree.position_ids, tokens=tree.tokens, cache=cache)
        return run.kept


@dataclass(frozen=True)
class Tree:
    """Prompts, each with the completions that branch off it, as one padded batch of rows.

    Attributes:
        tokens: prompt, then each completion, then padding.
        real: False at padding.
        see: which tokens each token attends to: its prompt and its own completion, up to itself.
        position_ids: each completion goes on from its prompt's end.
        spans: for each row, the columns of each completion.
        prompt_lengths: for each row.
    """

    tokens: Int[Tensor, "rows pos"]
    real: Bool[Tensor, "rows pos"]
    see: Bool[Tensor, "rows pos pos"]
    position_ids: Int[Tensor, "rows pos"]
    spans: list[list[tuple[int, int]]]
    prompt_lengths: list[int]

    @classmethod
    def of(cls, rows: list[tuple[list[int], list[list[int]]]], device: torch.device) -> Tree:
        """A batch from (prompt ids, ids of each completion) pairs."""
        width = max(len(prompt) + sum(map(len, branches)) for prompt, branches in rows)
        tokens, positions = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
        # 0 is the prompt, 1, 2, ... the completions, -1 padding: a token sees the prompt and its own branch.
        branch = torch.full((len(rows), width), -1)
        spans = []
        for row, (prompt, branches) in enumerate(rows):
            end = len(prompt)
            tokens[row, :end], positions[row, :end], branch[row, :end] = torch.tensor(prompt), torch.arange(end), 0
            spans.append([])
            for number, ids in enumerate(branches, 1):
                columns = slice(end, end + len(ids))
                tokens[row, columns], branch[row, columns] = torch.tensor(ids), number
                positions[row, columns] = torch.arange(len(prompt), len(prompt) + len(ids))
                spans[row].append((end, end + len(ids)))
                end += len(ids)
        ours, theirs = branch[:, :, None], branch[:, None, :]
        see = ((theirs == 0) | (theirs == ours)) & (ours >= 0) & (theirs >= 0)
        see &= torch.ones(width, width, dtype=torch.bool).tril()
        lengths = [len(prompt) for prompt, _ in rows]
        return cls(tokens.to(device), (branch >= 0).to(device), see.to(device), positions.to(device), spans, lengths)

    def rows(self, rows: list[int]) -> Tree:
        """Some of the rows, at the same width."""
        return Tree(
            self.tokens[rows],
            self.real[rows],
            self.see[rows],
            self.position_ids[rows],
            [self.spans[row] for row in rows],
            [self.prompt_lengths[row] for row in rows],
        )

    def reads(self) -> tuple[Int[Tensor, " reads"], Int[Tensor, " reads"], Int[Tensor, " reads"]]:
        """Row and column of every token whose output predicts a completion's token, and that token's id."""
        rows, columns, targets = [], [], []
        for row, (spans, length) in enumerate(zip(self.spans, self.prompt_lengths, strict=True)):
            for start, stop in spans:
                rows += [row] * (stop - start)
                columns += [length - 1, *range(start, stop - 1)]
                targets += self.tokens[row, start:stop].tolist()
        device = self.tokens.device
        return tuple(torch.tensor(values, device=device) for values in (rows, columns, targets))  # pyright: ignore


class _Cut(nn.Module):
    """A block that rows may skip, enter late, or be edited before."""

    def __init__(self, owner: LeanModel, layer: int, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self._owner, self._layer = (owner,), layer  # in a tuple, so that it is not registered as a submodule

    def __getattr__(self, name: str) -> Any:
        # Models ask their blocks for attributes of their own, such as the kind of attention.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        run, layer, n_layers = self._owner[0]._run, self._layer, self._owner[0].n_layers
        assert run is not None
        if layer == 0 and run.states is not None:
            hidden = run.states
        if layer in run.keep:
            run.kept[layer] = hidden
        n_rows = hidden.shape[0]
        n_here = sum(start <= layer for start in run.starts)
        if run.stop is not None and layer >= run.stop:
            return hidden
        if n_here:
            part = run.apply(layer, "pre", hidden[:n_here])
            if (layer, "mid") in run.edits:
                run.kept[-1] = part
            cut = [_first_rows(one, n_here, n_rows) for one in args]
            output = self.block(part, *cut, **{k: _first_rows(v, n_here, n_rows) for k, v in kwargs.items()})
            part = output[0] if isinstance(output, tuple) else output
            hidden = part if n_here == n_rows else torch.cat([part, hidden[n_here:]])
        if layer == n_layers - 1:
            hidden = run.apply(n_layers, "pre", hidden)
            if n_layers in run.keep:
                run.kept[n_layers] = hidden
        return hidden


class _AtReads(nn.Module):
    """The last block's MLP, run only at the positions that are read; the others get zeros nobody looks at."""

    def __init__(self, owner: LeanModel, mlp: nn.Module) -> None:
        super().__init__()
        self.mlp = mlp
        self._owner = (owner,)

    def forward(self, hidden: Tensor) -> Tensor:
        run = self._owner[0]._run
        if run is None or run.read is None:
            return self.mlp(hidden)
        # Rows that join only after this block have no part in it.
        read = run.read[: hidden.shape[0]]
        out = torch.zeros_like(hidden)
        out[read] = self.mlp(hidden[read][None])[0]
        return out


def _first_rows(value: Any, n_here: int, n_rows: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_first_rows(one, n_here, n_rows) for one in value)
    batched = isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == n_rows
    return value[:n_here] if batched else value


def _mask_kinds(config: Any) -> dict[str, int | None]:
    """The kinds of attention masks a model wants, each with its window."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if kinds - {"full_attention", "sliding_attention"} or getattr(config, "attention_chunk_size", None):
        raise CannotCut(f"its layers are of kinds {sorted(kinds)}")
    if len(kinds) == 2:
        return {"full_attention": None, "sliding_attention": window}
    # Without layer kinds, a model with a window uses it everywhere.
    slides = "sliding_attention" in kinds or (not kinds and bool(window))
    return {"sliding_attention": window} if slides else {"full_attention": None}


def _unwrap(module: nn.Module, attention: str, twins: dict[int, nn.Module], configs: dict[int, Any]) -> Any:
    """A shallow copy of a tree of modules without the bridge's wrappers; parameters and buffers are shared."""
    if hasattr(module, "original_component"):
        return _unwrap(module.original_component, attention, twins, configs)  # pyright: ignore
    if id(module) in twins:
        return twins[id(module)]
    twin = copy.copy(module)
    twins[id(module)] = twin
    twin.__dict__ = dict(module.__dict__)
    for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        setattr(twin, hooks, OrderedDict())
    children = module._modules.items()
    twin._modules = {
        name: None if child is None else _unwrap(child, attention, twins, configs) for name, child in children
    }
    config = twin.__dict__.get("config")
    if config is not None:
        if id(config) not in configs:
            configs[id(config)] = copy.deepcopy(config)
            configs[id(config)]._attn_implementation = attention
        twin.config = configs[id(config)]
    return twin
