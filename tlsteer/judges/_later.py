"""A model that is loaded when it is first asked, so that another one can have its room until then."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from typing import Any

import torch

from tlsteer._model_type import Model
from tlsteer.models import load_model
from tlsteer.serving._named_engine import engine_of


@dataclass(eq=False)
class LoadedLater:
    """A model by name.

    Attributes:
        name: as `load_model` takes it.
        device: the same.
        dtype: the same.
        on_vllm: have vLLM run it, which takes devices of its own.
    """

    name: str
    device: str | None = None
    dtype: str | None = None
    on_vllm: bool = False
    _model: Any = field(default=None, init=False, repr=False)

    def __call__(self) -> Model:
        """The model, loaded now where it is not."""
        if self._model is None and self.on_vllm:
            self._model = engine_of("vllm", self.name, dtype=self.dtype)
        elif self._model is None:
            self._model = load_model(self.name, self.device, self.dtype)
        return self._model

    def release(self) -> None:
        """Lets go of the model; it is loaded again when it is needed again."""
        if self.on_vllm and self._model is not None:
            self._model.close()
        self._model = None
        empty_memory()


def empty_memory() -> None:
    """Gives back what nothing refers to any more, on accelerators too."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def later_models(judge: Any) -> list[LoadedLater]:
    """The models that a judge, or something that holds judges, loads when they are first asked."""
    parts = list(vars(judge).values()) if hasattr(judge, "__dict__") else []
    own = [part for part in parts if isinstance(part, LoadedLater)]
    return own + [one for part in parts if hasattr(part, "measures") for one in later_models(part)]
