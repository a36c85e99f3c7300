"""Every error of the project, in one tree: transient (try again) or permanent (somebody must act)."""


class UsageTriggersError(Exception):
    """Base of all. `code` is stable and snake_case; `message` is one line that says what to do."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class TransientError(UsageTriggersError):
    """May succeed unchanged when tried again later."""

    code = "unavailable"
    retry_after_seconds: int = 1


class PermanentError(UsageTriggersError):
    """Will fail the same way until somebody changes something."""

    code = "failed"


class LogUnavailable(TransientError):
    """The log did not acknowledge in time; what was sent may or may not be in it."""

    code = "log_unavailable"


class StoreUnavailable(TransientError):
    """The database did not answer, or the answer to COMMIT was lost."""

    code = "store_unavailable"


class RateLimited(TransientError):
    """More than a key may send; `retry_after_seconds` says when there is room again."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RequestTimeout(TransientError):
    """The body did not arrive in the time that is given for it."""

    code = "request_timeout"


class UnknownProduct(TransientError):
    """A good key of a product that the configuration does not have; an operator mends that."""

    code = "unknown_product"
    retry_after_seconds = 30


class Fenced(TransientError):
    """Another worker has moved this partition's offset: roll back, forget the cache, position anew."""

    code = "fenced"


class OffsetOutOfRange(PermanentError):
    """The stored offset lies outside the log: stop `partition` and alarm, never reset."""

    code = "offset_out_of_range"

    def __init__(self, message: str, *, partition: int | None = None) -> None:
        super().__init__(message)
        self.partition = partition


class Unreadable(OffsetOutOfRange):
    """The records at the stored offset cannot be decoded: stop the partition and alarm, skip nothing."""

    code = "unreadable"


class ConfigError(PermanentError):
    """The configuration cannot be used; `problems` holds one line each, with its place."""

    code = "config_invalid"

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class InvalidInput(PermanentError):
    """One thing that was sent (an event, a profile, a row) is not acceptable."""

    code = "invalid"


class NotParseable(InvalidInput):
    """A body that cannot be read at all: broken JSON, broken gzip, not UTF-8."""

    code = "not_parseable"


class TooLarge(InvalidInput):
    """More bytes or more items than are taken at once."""

    code = "too_large"


class UnsupportedMediaType(InvalidInput):
    """A content type or content encoding that is not understood."""

    code = "unsupported_media_type"


class Unauthorized(PermanentError):
    """No key, an unknown key or a revoked key."""

    code = "unauthorized"


class Forbidden(PermanentError):
    """A known key without the scope that this takes."""

    code = "forbidden"


class NotFound(PermanentError):
    """Nothing there, or nothing that this key may see."""

    code = "not_found"


class Conflict(PermanentError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"


class SetupError(PermanentError):
    """This machine's set-up stands in the way: a directory, a port, a missing setting."""

    code = "setup"
