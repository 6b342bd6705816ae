"""The errors a user can cause. Each message says what happened, with which values, and what to do next."""


class TlsteerError(Exception):
    """Base of every error that tlsteer raises on purpose.

    >>> try:
    ...     load_model("organizm")
    ... except TlsteerError as error:
    ...     print(type(error).__name__, "organism" in str(error))
    ModelError True
    """


class ArgumentError(TlsteerError, TypeError, ValueError):
    """An argument is of another type, or outside the range, that its annotation says.

    >>> Intervention(vector, "2")
    Traceback (most recent call last):
    tlsteer.errors.ArgumentError: ...
    """


class ModelError(TlsteerError):
    """A model cannot be found, loaded or used as asked.

    >>> load_model("organizm")
    Traceback (most recent call last):
    tlsteer.errors.ModelError: 'organizm' is not in the local cache ...
    """


class SiteError(TlsteerError):
    """A place in the residual stream does not exist in this model.

    >>> Site.of("blocks.4.mlp")
    Traceback (most recent call last):
    tlsteer.errors.SiteError: 'blocks.4.mlp' names no residual position; use a Site, a layer, ...
    """


class PositionError(TlsteerError):
    """A choice of token positions is malformed or selects nothing.

    >>> last(0)
    Traceback (most recent call last):
    tlsteer.errors.PositionError: last(0) selects nothing; give a whole number of 1 or more
    """


class VectorError(TlsteerError):
    """A steering vector is malformed, unreadable, or belongs to another model.

    >>> generate(model, prompts, SteeringVector(torch.ones(3), 4))
    Traceback (most recent call last):
    tlsteer.errors.VectorError: the vector has width 3, but 'organism' has width 128; fit a vector on this model
    """


class DataError(TlsteerError):
    """A prompt, completion, example or data file cannot be used as given.

    >>> Choice("Is it?", "Yes", "Yes")
    Traceback (most recent call last):
    tlsteer.errors.DataError: both answers of a choice are 'Yes'
    """


class StorageError(TlsteerError):
    """A file or folder cannot be written.

    >>> vector.save("/dev/null/vector")
    Traceback (most recent call last):
    tlsteer.errors.StorageError: ...
    """


class WorkerError(TlsteerError):
    """Workers cannot be started, or could not do what they were given.

    >>> issubclass(WorkerError, TlsteerError)  # as are all that tlsteer raises on purpose
    True
    """
