"""Which way a model is run now: its fast view where it has one, else the model itself, and why."""

from __future__ import annotations

import warnings
import weakref
from dataclasses import dataclass
from typing import Any, Literal

from tlsteer._arguments import checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.lean._model import LeanModel
from tlsteer.lean._pass import CannotCut
from tlsteer.lean._state import State

_views: weakref.WeakKeyDictionary[Any, tuple[State, LeanModel | CannotCut]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Engine:
    """Which way a model is run.

    Attributes:
        name: "fast", from the steered layer on and without hooks, or "plain", by full hooked forward passes.
        why: why not fast, "" where it is.
    """

    name: Literal["fast", "plain"]
    why: str = ""

    def __repr__(self) -> str:
        return f"Engine({self.name})" if not self.why else f"Engine({self.name}: {self.why})"


@checked
def engine(model: Model) -> Engine:
    """Which way tlsteer runs a model as it is now, and why not the fast one; both give the same results.

    >>> engine(model)
    Engine(fast)
    """
    try:
        lean_model(Surface(model))
    except CannotCut as reason:
        return Engine("plain", str(reason))
    return Engine("fast")


def lean_model(surface: Surface) -> LeanModel:
    """The fast view of a model: made and checked once, and again where the model has changed since.

    Raises:
        CannotCut: the model has none, or something is on it or around it now that only its own forward pass runs.
    """
    model = surface.model
    state, view = _views.get(model) or (State(model), None)
    if not state.holds():
        state, view = State(model), None
    if (reason := state.obstacle(surface.turns)) is not None:
        raise CannotCut(reason)
    if view is None:
        with surface.turns.taken():
            view = _made(surface)
    if isinstance(view, CannotCut):
        raise view
    return view


def _made(surface: Surface) -> LeanModel | CannotCut:
    try:
        view = LeanModel(surface)
    except CannotCut as reason:
        if not reason.lasts:
            return reason
        view = reason
    # Taken last: a bridge's first pass adds hooks of its own to its blocks.
    _views[surface.model] = State(surface.model), view
    return view


def lean_or_plain(surface: Surface) -> LeanModel | Surface:
    """The fast view where the model has one, else the model itself; both run forward passes under `attach`.

    Warns where it has none.
    """
    try:
        return lean_model(surface)
    except CannotCut as reason:
        # At one place, so that Python shows each reason once.
        warnings.warn(f"{surface.name!r} runs on the slow plain path: {reason}", stacklevel=2)
        return surface
