"""One pass through a cut model: where rows start, what is added to them, what is kept, which prefix they have."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tlsteer._surface import Edit
from tlsteer.sites import Site

# A layer, with "pre" for what enters it (n_layers: what leaves the last) or "mid".
Boundary = tuple[int, str]

# At each boundary: what is added, with the first row it is for and the one after the last (None: all that follow).
Edits = dict[Boundary, list[tuple[int, int | None, Edit]]]


def boundary(site: Site) -> Boundary:
    """A resolved site as the boundary at which it is written: post of a layer is pre of the next."""
    return (site.layer + 1, "pre") if site.stage == "post" else (site.layer, site.stage)


class CannotCut(Exception):
    """This model cannot be run from the middle; the plain path has to do.

    Attributes:
        lasts: whether that holds as long as the model does not change.
    """

    def __init__(self, reason: str, lasts: bool = True) -> None:
        super().__init__(reason)
        self.lasts = lasts


@dataclass
class KeyValues:
    """Keys and values of a prefix by layer, each (rows, heads, positions, d_head).

    Stands in for a Hugging Face cache: attention only ever calls `update`.
    """

    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    n_copies: int = 1
    _rooms: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many numbers are kept."""
        return sum(one.numel() for both in self.layers.values() for one in both)

    def rows(self, rows: list[int]) -> KeyValues:
        """The prefix of some rows, any of them as often as wanted."""
        return KeyValues({layer: (keys[rows], values[rows]) for layer, (keys, values) in self.layers.items()})

    def copies(self, n: int) -> KeyValues:
        """The prefix of all rows `n` times; they are copied one layer at a time, as it runs."""
        return replace(self, n_copies=n)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """The keys and values that attention sees: those of the prefix, then the new ones."""
        if self.n_copies == 1 and not (keys.requires_grad or values.requires_grad):
            return self._beside(keys, values, layer_idx)
        before = (repeat(one, "row ... -> (n row) ...", n=self.n_copies) for one in self.layers[layer_idx])
        joined = [
            torch.cat([old[: len(new)].to(new), new], -2) for old, new in zip(before, (keys, values), strict=True)
        ]
        return joined[0], joined[1]

    def _beside(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Written next to the prefix, over those of the pass before, so that the prefix is not copied again."""
        size, length = self.layers[layer][0].shape[-2], self.layers[layer][0].shape[-2] + keys.shape[-2]
        rooms = self._rooms.get(layer)
        if rooms is None or rooms[0].shape[-2] != length:
            old_keys, old_values = self.layers[layer]
            rooms = self._rooms[layer] = _with_room(old_keys, length), _with_room(old_values, length)
            # The prefix is kept once.
            self.layers[layer] = rooms[0][..., :size, :], rooms[1][..., :size, :]
        # Rows that join at a later layer have no queries here yet.
        n_rows = len(keys)
        rooms[0][:n_rows, :, size:], rooms[1][:n_rows, :, size:] = keys, values
        return rooms[0][:n_rows], rooms[1][:n_rows]

    def get_seq_length(self, *_: Any) -> int:
        """How many positions came before; they are told by position ids here, so none."""
        return 0


@dataclass
class Recorder:
    """Keeps the keys and values of the first positions as they are computed.

    Attributes:
        n_positions: how many are kept.
        least: the first layer that is kept.
        prefix: what was kept.
    """

    n_positions: int
    least: int
    prefix: KeyValues = field(default_factory=KeyValues)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """The keys and values as they are."""
        if layer_idx >= self.least:
            # Copied: a slice would keep the positions that follow alive.
            self.prefix.layers[layer_idx] = (
                keys[:, :, : self.n_positions].clone(),
                values[:, :, : self.n_positions].clone(),
            )
        return keys, values

    def get_seq_length(self, *_: Any) -> int:
        """None came before."""
        return 0


class GrowingKeyValues:
    """Keys and values of a text that is being written: each run adds its own.

    They are written into room that doubles when it is full, so that a new token does not copy all before it.
    """

    def __init__(self) -> None:
        self._rooms: dict[int, tuple[Tensor, Tensor]] = {}
        self._lengths: dict[int, int] = {}

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """All keys and values so far, these included."""
        before = self._lengths.get(layer_idx, 0)
        length = self._lengths[layer_idx] = before + keys.shape[-2]
        rooms = self._rooms.get(layer_idx, (keys[..., :0, :], values[..., :0, :]))
        if rooms[0].shape[-2] < length:
            rooms = self._rooms[layer_idx] = _with_room(rooms[0], 2 * length), _with_room(rooms[1], 2 * length)
        for room, new in zip(rooms, (keys, values), strict=True):
            room[..., before:length, :] = new
        return rooms[0][..., :length, :], rooms[1][..., :length, :]

    def get_seq_length(self, *_: Any) -> int:
        """How many positions came before; they are told by position ids here, so none."""
        return 0


def _with_room(values: Tensor, length: int) -> Tensor:
    """A copy with room for more positions."""
    room = values.new_empty((*values.shape[:-2], length, values.shape[-1]))
    room[..., : values.shape[-2], :] = values
    return room


@dataclass
class LeanPass:
    """One pass through the lean model.

    Attributes:
        states: residuals that enter, row by row at that row's own layer; None to start from token embeddings.
        starts: the first layer of each row, ascending; rows wait unchanged until then.
        edits: what is added where, to which rows.
        keep: layers whose entering residual is kept in `kept`.
        stop: run only the layers below this.
        read: tokens whose output is read: the last block's queries, output and MLP run at these alone.
        masks: what each layer adds to its attention scores; set as the pass begins, as the two that follow are.
        queries: positions of the tokens that run, in their text.
        keys: those of all tokens that may be seen.
    """

    states: Float[Tensor, "rows pos d_model"] | None
    starts: list[int]
    edits: Edits = field(default_factory=dict)
    keep: frozenset[int] = frozenset()
    stop: int | None = None
    read: Bool[Tensor, "rows pos"] | None = None
    masks: list[Float[Tensor, "rows 1 queries keys"]] = field(default_factory=list)
    queries: Int[Tensor, "rows queries"] | None = None
    keys: Int[Tensor, "rows keys"] | None = None
    kept: dict[int, Tensor] = field(default_factory=dict)

    def apply(self, layer: int, stage: str, residual: Tensor, before: Tensor | None = None) -> Tensor:
        """The residual after the edits of a boundary, in order; they look at it together with what came `before`."""
        for first, stop, edit in self.edits.get((layer, stage), ()):
            added = edit((residual if before is None else before + residual)[first:stop])
            if added is None:
                continue
            if added.shape[0] == residual.shape[0]:
                residual = residual + added
            else:
                end = first + added.shape[0]
                residual = torch.cat([residual[:first], residual[first:end] + added, residual[end:]])
        return residual
