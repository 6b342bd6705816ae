"""VectorSet: the vectors of several layers as one thing, and one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from tlsteer._hub_files import VECTOR_NAME, pull_file, push_files
from tlsteer._model_type import Model
from tlsteer._numbers import Number
from tlsteer._vector_cards import card
from tlsteer._vector_files import read_vector_set_file, vector_set_bytes, write_vector_set_file
from tlsteer._vector_hooks import NamedHook
from tlsteer.errors import VectorError
from tlsteer.sites import Place, Site
from tlsteer.vectors import SteeringVector, vector_of_file


class VectorSet(Mapping[Site, SteeringVector]):
    """Vectors at different sites that are applied together: a mapping from site to vector, in the order of the stream.

    `steer` and `generate` take one wherever they take a vector. It never changes.

    Args:
        vectors: one for each site, all of one width; each knows its own site.

    Raises:
        VectorError: none, two at one site, or several widths.

    >>> vectors = VectorSet(fit_contrastive(model, pairs, [3, 4, 5]))
    >>> with steer(model, vectors, multiplier=0.5):
    ...     logits = model(tokens.ids, attention_mask=tokens.mask)
    >>> vectors[4].site  # by site, layer (its pre) or hook name
    Site(4, 'pre')
    """

    __array_ufunc__ = None  # NumPy's numbers leave products to the set

    def __init__(self, vectors: Iterable[SteeringVector]) -> None:
        several = sorted(vectors, key=lambda vector: vector.site)
        if not several:
            raise VectorError("a set of vectors needs at least one")
        self._vectors = {vector.site: vector for vector in several}
        if len(self._vectors) < len(several):
            twice = next(one.site for one, other in pairwise(several) if one.site == other.site)
            raise VectorError(f"two vectors of a set are at {twice!r}; add them up, or apply both in one steer(...)")
        if len(widths := sorted({vector.d_model for vector in several})) > 1:
            raise VectorError(f"the vectors of a set have one width, got {widths}: they belong to different models")

    def __getitem__(self, place: Place) -> SteeringVector:
        site = Site.of(place)
        if site not in self._vectors:
            raise KeyError(f"no vector at {site!r}; there are {', '.join(map(repr, self))}")
        return self._vectors[site]

    def __iter__(self) -> Iterator[Site]:
        return iter(self._vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def __repr__(self) -> str:
        return "\n".join([f"VectorSet({len(self)} vectors)", *(f"  {vector!r}" for vector in self.values())])

    def __mul__(self, factor: Number) -> VectorSet:
        return VectorSet(vector * factor for vector in self.values())

    __rmul__ = __mul__

    def __neg__(self) -> VectorSet:
        return self * -1.0

    @property
    def d_model(self) -> int:
        """The width of the residual stream they belong to."""
        return next(iter(self.values())).d_model

    @property
    def stands_for(self) -> tuple[list[SteeringVector]]:
        """What it is taken as where a list of vectors is asked for."""
        return ([*self.values()],)

    @property
    def only(self) -> SteeringVector:
        """The vector of a set of one.

        Raises:
            VectorError: there are several.
        """
        if len(self) > 1:
            raise VectorError(f"the set has {len(self)} vectors; take one by its site: {', '.join(map(repr, self))}")
        return next(iter(self.values()))

    def hooks(self, model: Model, multiplier: Number = 1.0, *, aliases: bool = False) -> list[NamedHook]:
        """The hooks of all its vectors; see `SteeringVector.hooks`."""
        return [hook for vector in self.values() for hook in vector.hooks(model, multiplier, aliases=aliases)]

    def save(self, path: str | Path) -> Path:
        """Writes one safetensors file with the metadata of all inside, whole or not at all."""
        return write_vector_set_file(path, [vector.as_file() for vector in self.values()])

    @classmethod
    def load(cls, path: str | Path) -> VectorSet:
        """Reads what `save` wrote, of a set or of a single vector. Nothing in the file is executed.

        Raises:
            VectorError: no such file, a damaged one, or one that tlsteer did not write.
        """
        return cls(vector_of_file(file, path) for file in read_vector_set_file(path))

    def push_to_hub(
        self,
        repo: str,
        *,
        results: Mapping[str, object] | None = None,
        license: str | None = None,
        private: bool = False,
        token: str | None = None,
    ) -> str:
        """Puts the set and a card about it into a repository on the hub; see `SteeringVector.push_to_hub`."""
        files = [vector.as_file() for vector in self.values()]
        content = {
            VECTOR_NAME: vector_set_bytes(files),
            "README.md": card(repo, files, results or {}, license).encode(),
        }
        return push_files(repo, content, private, token)

    @classmethod
    def from_hub(cls, repo: str, revision: str | None = None, *, token: str | None = None) -> VectorSet:
        """The set of a repository on the hub; see `SteeringVector.from_hub`."""
        return cls.load(pull_file(repo, VECTOR_NAME, revision, token))
