"""The error tree, ordered by who must act.

Every error's text says what was wrong, what was expected, what came, and what to do next. `streams.cli` turns the
tree into exit statuses: 2 for the caller's mistake, 1 for anything else. Knows no other module.
"""


class LinesideError(Exception):
    """Anything that Lineside itself reports; its text is one clear sentence for a person."""

    exit_status = 1


class CallerError(LinesideError):
    """The person or program that called must change what it asks for: an unknown source, a missing folder."""

    exit_status = 2


class OperatorError(LinesideError):
    """Who runs the installation must act: a full disk, a broker that died, a process that can't start."""


class BrokerUnreachableError(CallerError):
    """No Kafka answers at the configured address."""


class BrokerRefusedError(BrokerUnreachableError):
    """A Kafka answers there, but takes us for nobody it knows, or can't prove to be the one that we mean."""


class NotAllowedError(CallerError):
    """Kafka knows who we are, and that user may not do what was asked."""


class FatalDeviceError(OperatorError):
    """The inference device can't be trusted any more; the process must end and be started again."""


class FrameRejectedError(LinesideError):
    """One frame can't be inspected; the camera's side must act. `reason` is a `schemas.records.Reason` name."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
