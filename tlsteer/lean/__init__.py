"""The fast path: run a bridge's own modules without hooks, from the steered layer on."""

from tlsteer.lean.model import CannotCut, LeanModel, lean_model, lean_or_plain
from tlsteer.lean.run import KeyValues, Run, boundary
from tlsteer.lean.tree import Tree

__all__ = ["CannotCut", "KeyValues", "LeanModel", "Run", "Tree", "boundary", "lean_model", "lean_or_plain"]
