"""Saved vectors by name, and what a request may ask of them, checked before anything is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tlsteer._surface import Surface
from tlsteer.errors import DataError, ModelError, VectorError
from tlsteer.positions import positions_from
from tlsteer.serving._request_writes import RequestWrite, writes_of_rows
from tlsteer.steering import Intervention, Write
from tlsteer.vector_sets import VectorSet

_FIELDS = {"vector": str, "multiplier": int | float, "operation": str, "positions": str}
# No request needs more vectors, and no name or choice of positions is longer.
_MOST, _LONGEST = 64, 200


class NamedVectors:
    """The vectors of a folder on the model that is served.

    Args:
        folder: of saved vectors and sets, named by their files.

    Attributes:
        refused: the stages at which the model is not steered, with the reason.

    Raises:
        VectorError: no such folder, no vector in it, or a file that holds none.
    """

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
        if not files:
            raise VectorError(f"{str(folder)!r} is no folder with saved vectors (*.safetensors) in it")
        self._vectors = {file.stem: VectorSet.load(file) for file in files}
        self._surface: Surface | None = None
        self.refused: Mapping[str, str] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    def on(self, surface: Surface) -> None:
        """Takes the model that they are for.

        Raises:
            VectorError: one belongs to another model.
            SiteError: the model has no such site.
        """
        for several in self._vectors.values():
            for vector in several.values():
                vector.check(surface)
        self._surface = surface

    def told(self) -> dict[str, Any]:
        """What there is, as the answer to who asks for a list."""
        return {
            "object": "list",
            "data": [
                {"id": name, "object": "steering_vector", "vectors": [_told(one) for one in several.values()]}
                for name, several in self._vectors.items()
            ],
        }

    def writes(self, asked: Any) -> list[Write]:
        """What a request's steering amounts to.

        Args:
            asked: an object with `vector`, a name, and where wanted `multiplier`, `operation` and `positions`; or a
                list of such objects, in the order in which they are made.

        Raises:
            TlsteerError: anything else, with what there is.
        """
        several = asked if isinstance(asked, list) else [asked]
        if not several or len(several) > _MOST:
            raise DataError(f"steering is an object with a vector's name, or a list of 1 to {_MOST} of them")
        return [one.write(self._served) for each in several for one in self._interventions(each)]

    def request_writes(self, asked: Any, ids: Sequence[int], goes_on: bool) -> list[RequestWrite]:
        """The same for the tokens of a prompt; see `writes_of_rows`."""
        (own,) = writes_of_rows(self.writes(asked), [ids], [len(ids)], self._served.decode, goes_on)
        return own

    def names(self, asked: Any) -> list[str]:
        """The name of the vector of each of these."""
        named = [one["vector"] for one in (asked if isinstance(asked, list) else [asked])]
        return [name for name in named for _ in self._vectors[name].values()]

    @property
    def _served(self) -> Surface:
        assert self._surface is not None
        return self._surface

    def _interventions(self, asked: Any) -> list[Intervention]:
        if not isinstance(asked, dict) or "vector" not in asked:
            raise DataError(f'steering is an object such as {{"vector": "NAME", "multiplier": 1}}; got {_short(asked)}')
        if unknown := [name for name in asked if name not in _FIELDS]:
            raise DataError(f"steering has no field {_short(unknown[0])}; its fields are {', '.join(_FIELDS)}")
        given = {name: value for name, value in asked.items() if value is not None}
        for name, value in given.items():
            if not isinstance(value, _FIELDS[name]) or isinstance(value, bool) or len(str(value)) > _LONGEST:
                kind = "a number" if name == "multiplier" else f"a text of at most {_LONGEST} characters"
                raise DataError(f"steering's {name} is {kind}; got {_short(value)}")
        if (name := given.get("vector")) not in self._vectors:
            raise VectorError(f"there is no vector {name!r}; there are {', '.join(self._vectors)}")
        for vector in (several := self._vectors[name]).values():
            if (why := self.refused.get(vector.site.stage)) is not None:
                raise ModelError(f"{name!r} is at {vector.site!r}, where this model is not steered in vLLM: {why}")
        positions = positions_from(given.get("positions", "all"))
        strength, operation = given.get("multiplier", 1.0), given.get("operation")
        return [Intervention(vector, strength, positions, operation) for vector in several.values()]


def _told(vector: Any) -> dict[str, Any]:
    made = vector.provenance
    return {
        "layer": vector.site.layer, "stage": vector.site.stage, "operation": str(vector.operation),
        "norm": vector.norm, "method": made.method, "model": made.model,
    }  # fmt: skip


def _short(value: Any) -> str:
    """A value as it was sent, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
