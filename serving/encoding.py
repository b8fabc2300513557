"""Encode answers as JSON; numbers that are not finite become null."""

from typing import Any

import msgspec
import numpy as np


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def json_bytes(value: object) -> bytes:
    """One JSON document, UTF-8; arrays as lists whose numbers read back to the same float32."""
    return _ENCODER.encode(value)
