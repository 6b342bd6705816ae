"""The fast path: a model's own modules, without hooks, run from any layer on.

TransformerBridge wraps every module of the Hugging Face model it was booted from, so that each activation has a
hook; a HookedTransformer has modules of its own. `LeanModel` is a second view of the same modules and the same weights
without hooks. It can start at any layer from residuals computed before, hold back rows until the layer they join at,
keep the keys and values of a prefix, and stop early. The model itself is not touched.

What is computed is checked on every construction: a small steered tree of tokens has to give the logits of the
plain hooked forward pass, or the model is refused with `CannotCut` and the caller takes the plain path. At every use
`views` looks whether the model still is what its view was made from.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tlsteer._passes import Pass, See
from tlsteer._surface import Edit, Surface
from tlsteer.errors import SiteError
from tlsteer.lean._head import Head
from tlsteer.lean._modules import How
from tlsteer.lean._of_bridge import OfBridge
from tlsteer.lean._of_hooked import OfHooked
from tlsteer.lean._pass import CannotCut, Edits, GrowingKeyValues, KeyValues, LeanPass, Recorder, boundary
from tlsteer.lean._tree import Tree
from tlsteer.sites import Site
from tlsteer.steering import Write, attach, collected_receipts

# Ways to run a bridge's modules, in the order they are tried.
_WAYS = (How("sdpa", False), How("sdpa", True), How("eager", False), How("eager", True))


class _Now(threading.local):
    """What a thread is running: views are used by several at once."""

    def __init__(self) -> None:
        self.lean_pass: LeanPass | None = None
        self.watchers: list[See] = []
        self.edits: Edits = {}


class LeanModel:
    """The modules of a model, unwrapped: same weights, no hooks.

    `lean_model` gives the one view of a model, made when it is first asked for. Threads may run it at once.

    Args:
        surface: a model's surface.

    Raises:
        CannotCut: an architecture of another form, or one whose results would differ.
    """

    def __init__(self, surface: Surface) -> None:
        self._model = weakref.ref(surface.model)
        self._now = _Now()
        failure: Exception | None = None
        for how in _WAYS if surface.is_bridge else _WAYS[:1]:
            try:
                self._parts = (OfBridge if surface.is_bridge else OfHooked)(surface, how, self._current)
                self._no_mid = ""
                self._no_mid = _checked(self)
            except CannotCut:
                raise
            except (MemoryError, torch.OutOfMemoryError) as error:
                raise CannotCut(f"memory ran out when its fast view was made ({error})", lasts=False) from error
            except Exception as error:  # whatever an architecture does that was not foreseen here
                failure = error
            else:
                return
        raise CannotCut(f"{type(failure).__name__}: {failure}")

    @property
    def surface(self) -> Surface:
        """The model it is a view of."""
        # Not held: views are kept as long as their model is, and may not keep it alive themselves.
        return Surface(self._model())

    @property
    def n_layers(self) -> int:
        """How many blocks there are."""
        return self.surface.n_layers

    @property
    def head(self) -> Head:
        """The unembedding."""
        return self._parts.head

    def _current(self) -> LeanPass | None:
        return self._now.lean_pass

    @contextmanager
    def _under_way(self, lean_pass: LeanPass) -> Iterator[None]:
        self._now.lean_pass = lean_pass
        try:
            yield
        finally:
            self._now.lean_pass = None

    def run(
        self,
        lean_pass: LeanPass,
        see: Bool[Tensor, "rows queries keys"],
        position_ids: Int[Tensor, "rows queries"],
        key_position_ids: Int[Tensor, "rows keys"] | None = None,
        tokens: Int[Tensor, "rows queries"] | None = None,
        cache: KeyValues | Recorder | GrowingKeyValues | None = None,
    ) -> Float[Tensor, "rows queries d_model"]:
        """The residual after the final norm.

        Args:
            lean_pass: where rows start, what is edited, what is kept.
            see: which keys (those of the cache's prefix first) each query attends to.
            position_ids: of the queries.
            key_position_ids: of the keys; those of the queries where there is no prefix.
            tokens: ids, where `lean_pass.states` is None.
            cache: keys and values to record, a prefix, or what grows with each pass.
        """
        if self._no_mid and any(stage == "mid" for _, stage in lean_pass.edits):
            raise SiteError(self._no_mid)
        lean_pass.queries, lean_pass.keys = position_ids, position_ids if key_position_ids is None else key_position_ids
        lean_pass.masks = self._parts.masks.made(see, lean_pass.queries, lean_pass.keys, self.head.weight.dtype)
        with self._under_way(lean_pass):
            return self._parts(lean_pass, tokens, cache)

    @contextmanager
    def watch(self, see: See) -> Iterator[None]:
        """Calls `see` with every `forward` of this thread that begins, and with None at its end."""
        self._now.watchers.append(see)
        try:
            yield
        finally:
            self._now.watchers.remove(see)

    @contextmanager
    def edits(self, edits: Sequence[tuple[Site, Edit]]) -> Iterator[None]:
        """Adds to the residual at sites in every `forward` of this thread; at one site in the order given."""
        before = self._now.edits
        self._now.edits = {place: list(several) for place, several in before.items()}
        # Post of a layer comes before pre of the next, as in a hooked pass, though both are one boundary here.
        for site, added in sorted(edits, key=lambda one: one[0]):
            self._now.edits.setdefault(boundary(site), []).append((0, None, added))
        try:
            yield
        finally:
            self._now.edits = before

    def new_cache(self, rows: int) -> Any:
        """An empty key-value cache, filled in place by `forward`."""
        return GrowingKeyValues()

    def forward(
        self, tokens: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch total"], cache: Any = None, last: bool = False
    ) -> Float[Tensor, "batch read d_vocab"]:
        """Logits of a padded batch, as `Surface.forward` gives them."""
        rows, columns = tokens.shape
        total = mask.shape[1]
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)
        causal = torch.ones(columns, total, dtype=torch.bool, device=tokens.device).tril(total - columns)
        read = torch.zeros_like(tokens, dtype=torch.bool)
        read[:, -1:] = True
        lean_pass = LeanPass(None, [0] * rows, self._now.edits, read=read if last else None)
        for see in self._now.watchers:
            see(Pass(tokens, mask, total - columns, rows, columns))
        try:
            hidden = self.run(lean_pass, mask[:, None] & causal, positions[:, -columns:], positions, tokens, cache)
        finally:
            for see in self._now.watchers:
                see(None)
        # A slice of one column is strided, and would be multiplied by a copy of the unembedding for each row.
        return self.head.logits(hidden[:, -1].contiguous())[:, None] if last else self.head.logits(hidden)

    @torch.no_grad()
    def residuals(
        self,
        tree: Tree,
        layers: frozenset[int],
        cache: KeyValues | None = None,
        read: Bool[Tensor, "rows pos"] | None = None,
    ) -> dict[int, Tensor]:
        """The residual that enters each of some layers, for every token.

        Layer n_layers is what leaves the last, at the tokens in `read` alone where that is given.
        """
        lean_pass = LeanPass(None, [0] * len(tree.tokens), keep=layers, stop=max(layers), read=read)
        self.run(lean_pass, tree.see, tree.position_ids, tokens=tree.tokens, cache=cache)
        return lean_pass.kept


@torch.no_grad()
def _checked(model: LeanModel) -> str:
    """Compares a prompt with two completions, steered and cut at a middle layer, with the plain hooked pass.

    Returns:
        Why a mid cannot be written, "" where it can.

    Raises:
        RuntimeError: they differ.
    """
    layer = model.n_layers // 2
    try:
        model.surface.check_writable(Site(layer, "mid"))
    except SiteError:
        _compare(model, [Site(layer)])
        return ""
    try:
        _compare(model, [Site(layer), Site(layer, "mid")])
    except SiteError as reason:  # of the plain pass, which finds that it cannot be written
        _compare(model, [Site(layer)])
        return str(reason)
    return ""


def _compare(model: LeanModel, sites: Sequence[Site]) -> None:
    surface, generator = model.surface, torch.Generator().manual_seed(0)
    device, d_vocab = surface.device, surface.model.cfg.d_vocab
    prompt, first, second = (torch.randint(d_vocab, (n,), generator=generator).tolist() for n in (6, 3, 2))
    vector = torch.randn(1, surface.d_model, generator=generator).to(device)
    layer = sites[0].layer
    tree = Tree.of([(prompt, [first, second])], device)
    # One layer is run at least: what blocks give is seen there.
    states = model.residuals(tree, frozenset([layer, 1]))[layer]
    vector = vector * (states[0].float().norm(dim=-1).mean() / vector.norm())
    added = vector[:, None].to(states.dtype)
    read = torch.arange(states.shape[1], device=device)[None] >= 3
    lean_pass = LeanPass(
        states, [layer], {boundary(one): [(0, 1, lambda x: added.expand_as(x))] for one in sites}, read=read
    )
    hidden = model.run(lean_pass, tree.see, tree.position_ids)
    lean = model.head.logits(hidden[0, 3:]).float()
    tokens = torch.tensor([prompt + first, [*prompt, *second, second[-1]]], device=device)
    writes = [Write(one, vector, torch.ones(1, device=device)) for one in sites]
    # What proves the fast path is nothing that a caller asked to see the receipt of.
    with collected_receipts(), attach(surface, writes):
        plain = surface.forward(tokens, torch.ones_like(tokens, dtype=torch.bool)).float()
    expected = torch.cat([plain[0, 3:], plain[1, len(prompt) : len(prompt) + len(second)]])
    scale, error = expected.std().item(), (lean - expected).abs().max().item()
    allowed = 0.1 if states.dtype.itemsize < 4 else 1e-3
    if not error <= allowed * max(scale, 1e-3):
        raise RuntimeError(f"its logits differ by {error:.2g} (spread {scale:.2g}) from the plain pass")
