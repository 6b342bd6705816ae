"""What a format of another tool is, and the list of those that are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tlsteer._arguments import checked
from tlsteer.errors import VectorError
from tlsteer.steering import Intervention
from tlsteer.vector_sets import VectorSet

_KINDS: dict[str, type[Format]] = {}


@dataclass(frozen=True)
class FileContent:
    """What a format makes of vectors.

    Attributes:
        content: of the file, as its container takes it (see `Format`).
        notes: what was converted, a sentence each.
        beside: content of further files, by what their names end in.

    >>> Svec().write([Intervention(vector)], Path("calm.svec")).notes
    """

    content: Any
    notes: Sequence[str] = ()
    beside: Mapping[str, bytes] = field(default_factory=dict)


class Format(ABC):
    """How another tool writes vectors: a frozen dataclass, whose fields are what its files leave open.

    A class that derives from it is known by its name at once, in calls and on the command line.

    Attributes:
        name: of the format, in calls and on the command line.
        title: what it is, for people.
        container: what its files are: "gguf" or "safetensors" (`Arrays`), "npz" (a dict of tensors), "pt" (what
            `torch.save` took, of plain types and tensors) or "json" (a value).
        omits: what its files do not say, and what its tool does differently.

    >>> format_of("gguf").title, [name for name, one in formats().items() if one.container == "json"]
    """

    name: ClassVar[str]
    title: ClassVar[str]
    container: ClassVar[str]
    omits: ClassVar[str]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        known = _KINDS.setdefault(cls.name, cls)
        # A class that is defined again, as in a notebook, takes the place of its earlier self.
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise VectorError(f"the format {cls.name!r} is that of {known.__qualname__}; give {cls.__name__} another")
        _KINDS[cls.name] = cls

    @classmethod
    @abstractmethod
    def fits(cls, content: Any) -> bool:
        """Whether the content of a file of its container is of this format."""

    @abstractmethod
    def read(self, content: Any, path: Path) -> VectorSet:
        """The vectors of a file; whatever is raised for content that is none becomes a VectorError."""

    def write(self, todo: Sequence[Intervention], path: Path) -> FileContent:
        """What a file says that does the same; by default, that nothing writes this format.

        Args:
            todo: what is to be said.
            path: of the file, for names in it.

        Raises:
            VectorError: the format cannot say it.
        """
        raise VectorError(f"{self.title} are read, not written: nothing in them is made from a steering vector")


def formats() -> dict[str, type[Format]]:
    """The formats that are known, by name.

    >>> "gguf" in formats(), "vllm-lens" in formats()
    (True, True)
    """
    return dict(sorted(_KINDS.items()))


@checked
def format_of(format: Format | str) -> Format:
    """A format as it is, or the one of a name.

    Raises:
        VectorError: an unknown name, or a format that takes more than a name.

    >>> format_of("gguf")
    Gguf(model_type='')
    """
    if isinstance(format, Format):
        return format
    if format not in _KINDS:
        raise VectorError(f"the format {format!r} is unknown; use one of {', '.join(formats())}, or a Format")
    try:
        return _KINDS[format]()
    except TypeError as error:
        raise VectorError(
            f"the format {format!r} takes more than a name; give it as tlsteer.exchange.{_KINDS[format].__name__}(...) "
            f"({str(error).partition(' ')[2]})"
        ) from None
