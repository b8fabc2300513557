"""Many keys as one bound value: a JSON array that `json_each` takes apart again.

So a batch is one statement. `CROSS JOIN` after `json_each` fixes the order of the joins: for each
key that is asked, one look-up by index.
"""

from collections.abc import Iterable

import msgspec

_encode = msgspec.json.Encoder().encode


def json_keys(keys: Iterable[str] | Iterable[int]) -> str:
    """Strings or integers as the text of a JSON array."""
    return _encode(list(keys)).decode()
