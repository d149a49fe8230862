"""What can be wrong with a reference or the frame store; import it from `streams.store`. Knows none of it."""

from streams.errors import LinesideError


class ReferenceRefusedError(LinesideError):
    """A reference that leads out of the store, or to something that is no plain file."""


class ObjectMissingError(LinesideError):
    """The store is there and the object is not."""


class ObjectTooLargeError(LinesideError):
    """The object has more bytes than the reader takes."""


class StoreUnavailableError(LinesideError):
    """The store can't be reached or read just now: worth trying again."""
