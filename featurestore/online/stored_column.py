"""A column of messages as Redis returned them: one matrix of bytes where their lengths allow it.

B rows, L bytes of a message, D width of a vector.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from featurestore.online.values import PACKED, VECTOR, DecodedColumn, decode
from featurestore.online.varint import read_varint

StoredColumn = NDArray[np.uint8] | list[bytes | None]
"""A matrix (B, L) where all messages have one length, else a list."""


def joined(pieces: Sequence[StoredColumn]) -> StoredColumn:
    """One column from consecutive pieces of it."""
    matrices = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    if len(matrices) == len(pieces) and len({matrix.shape[1] for matrix in matrices}) == 1:
        return matrices[0] if len(matrices) == 1 else np.concatenate(matrices)
    lists = (piece if isinstance(piece, list) else as_messages(piece) for piece in pieces)
    return list(chain.from_iterable(lists))


def decoded(name: str, column: StoredColumn, present: Sequence[bool]) -> DecodedColumn:
    """Values of a column; missing where the row is not `present`, whatever is stored."""
    if isinstance(column, np.ndarray):
        return decode_matrix(name, column)
    if all(present):
        return decode(name, column)
    pairs = zip(column, present, strict=True)
    return decode(name, [each if is_there else None for each, is_there in pairs])


def decode_matrix(name: str, messages: NDArray[np.uint8]) -> DecodedColumn:
    """Values of a column of messages (B, L); vectors are decoded without a loop over rows."""
    first = messages[0].tobytes()
    if first.startswith(VECTOR):
        _, start = read_varint(first, len(VECTOR))
        if start < len(first):
            _, start = read_varint(first, start + len(PACKED))
            if (messages[:, :start] == messages[0, :start]).all():
                values = np.ascontiguousarray(messages[:, start:]).view("<f4")
                known = np.ones(len(messages), np.bool_)
                return DecodedColumn(values=values.astype(np.float32, copy=False), known=known)
    return decode(name, as_messages(messages))


def as_messages(messages: NDArray[np.uint8]) -> list[bytes | None]:
    """The rows of a matrix of bytes."""
    data, size = messages.tobytes(), messages.shape[1]
    return [data[row * size : (row + 1) * size] for row in range(len(messages))]
