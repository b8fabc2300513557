"""Validation of user ids that come from outside."""

import re
from collections.abc import Sequence

from serving.errors import InvalidRequest

MAX_ID_BYTES = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def checked_user_ids(values: Sequence[object], *, limit: int) -> list[str]:
    """The values as user ids, in order. Raises InvalidRequest for the first invalid one."""
    if not values:
        raise InvalidRequest("no user id given: name at least one")
    if len(values) > limit:
        raise InvalidRequest(f"{len(values)} user ids in one request: at most {limit} are allowed")
    return [checked_user_id(value) for value in values]


def checked_user_id(value: object) -> str:
    """The value, if it is 1 to 256 bytes of UTF-8 without control characters.

    Raises InvalidRequest.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"a user id is a string, not {type(value).__name__}")
    if not is_user_id(value):
        raise InvalidRequest(
            f"user id {shown(value)} is not 1 to {MAX_ID_BYTES} bytes of UTF-8 "
            "without control characters"
        )
    return value


def is_user_id(value: str) -> bool:
    """Whether a text is a valid user id."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return 1 <= size <= MAX_ID_BYTES and not _CONTROL.search(value)


def shown(value: str) -> str:
    """An id for a message: quoted, printable, cut to 64 characters."""
    return ascii(value if len(value) <= 64 else value[:64] + "…")
