"""A model as it goes to another process: its modules as they are, its weights beside them as plain bytes.

So any model goes, whatever it was made from, and every machine gets its weights once, from Ray's object store. What a
user has hooked or patched does not go: a hook that notes things would note them where nobody looks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import nn

from tlsteer._surface import Surface
from tlsteer.errors import ModelError
from tlsteer.lean._state import State


@dataclass(frozen=True)
class Packed:
    """A model on its way.

    Attributes:
        about: what results on it depend on (see `Surface.about`).
        modules: all but the weights, in Ray's own form.
        weights: the bytes of each storage.
    """

    about: dict[str, str]
    modules: bytes
    weights: Sequence[np.ndarray]


def check_portable(surface: Surface) -> None:
    """Refuses a model that would not be the same model in another process.

    Raises:
        ModelError: it carries hooks, is inside a context such as `steer`, is patched, or is no one device's.
    """
    model = surface.model
    devices = sorted({str(one.device) for one in model.parameters()})
    why = State(model).obstacle(surface.turns)
    if surface.writer is not None:
        why = f"{surface.writer} writes its texts, in one batch; run this without workers"
    if why is None and (len(devices) > 1 or "meta" in devices):
        why = f"its weights are on {', '.join(devices)}, and a worker holds a whole model on one device"
    if why is not None:
        raise ModelError(f"{surface.name!r} cannot be handed to workers: {why}")


def packed(surface: Surface, about: dict[str, str]) -> Packed:
    """A model that `check_portable` lets pass, ready to go.

    Raises:
        ModelError: something in it cannot be sent, such as quantised weights.
    """
    from ray import cloudpickle

    class Pickler(cloudpickle.CloudPickler):  # pyright: ignore[reportPrivateImportUsage]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, torch.Tensor):
                return _tensor, _reduced(obj)
            if isinstance(obj, torch.UntypedStorage):
                # Tensors that share a storage share it there too, as each object is sent once.
                return _storage, (torch.empty(0, dtype=torch.uint8).set_(obj.cpu()).numpy(),)
            if type(obj).__name__ == "CompileableContextVar" and (place := _place_of(obj)):
                return _at, place
            return super().reducer_override(obj)

    modules, weights = BytesIO(), []
    try:
        Pickler(modules, protocol=5, buffer_callback=weights.append).dump(surface.model)
    except Exception as error:  # whatever an attribute's class raises
        raise ModelError(f"{surface.name!r} cannot be handed to workers: {error}") from error
    return Packed(about, modules.getvalue(), [np.frombuffer(one.raw(), np.uint8) for one in weights])


def unpacked(sent: Packed) -> Surface:
    """The model, on the first device of its kind that this process sees.

    Raises:
        ModelError: it is not the same model here.
    """
    from ray import cloudpickle

    model = cloudpickle.loads(sent.modules, buffers=sent.weights)
    surface = Surface(model if sent.about["device"] == "cpu" else model.to(sent.about["device"]))
    for what, here in surface.about().items():
        if here != sent.about[what]:
            raise ModelError(
                f"{surface.name!r} has {what} {here!r} on a worker, and {sent.about[what]!r} where it is from"
            )
    return surface


def _reduced(tensor: torch.Tensor) -> tuple[Any, ...]:
    if type(tensor) not in (torch.Tensor, nn.Parameter):
        raise ModelError(f"it holds a {type(tensor).__name__}, and plain tensors alone are sent")
    place = tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
    return tensor.untyped_storage(), tensor.dtype, place, isinstance(tensor, nn.Parameter), tensor.requires_grad


def _place_of(variable: object) -> tuple[str, str] | None:
    # transformers' recording of activations, which stays once it was used, names one of its modules'.
    for name, module in list(sys.modules.items()):
        for attribute, value in list(vars(module).items()) if module else ():
            if value is variable:
                return name, attribute
    return None


def _at(module: str, attribute: str) -> Any:
    return getattr(import_module(module), attribute)


def _storage(content: np.ndarray) -> torch.UntypedStorage:
    # What lies in the object store belongs to all workers of a machine, and may not be written.
    return torch.from_numpy(content.copy()).untyped_storage()


def _tensor(
    storage: torch.UntypedStorage, dtype: torch.dtype, place: tuple[Any, ...], is_parameter: bool, with_grad: bool
) -> torch.Tensor:
    found = torch.empty(0, dtype=dtype).set_(storage, *place)
    return nn.Parameter(found, with_grad) if is_parameter else found.requires_grad_(with_grad)
