"""Many answers of one shape, taken from the socket as a matrix of bytes.

Vectors of one width have answers of one size: then numpy finds every value at the same place, and
no object is made for each. The first answer that differs, as that of a user who has no row, hands
all that was received to redis-py's parser. B answers, each a list of F values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

MIN_BYTES = 64 * 1024
HEADER_BYTES = 4 * 1024
END = b"\r\n"

Connection = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Size of an answer, where in it each value is, and all that is not value."""

    size: int
    values: Sequence[slice]
    frame: Sequence[tuple[int, bytes]]


def read_alike(connection: Connection, num: int) -> list[NDArray[np.uint8]] | None:
    """F matrices (B, length of the value) when all answers are of one shape; None when not.

    Then redis-py's parser has what was received, and goes on from there.
    """
    reader = getattr(connection._parser, "_reader", None)
    if reader is None:
        return None
    first = bytearray(MIN_BYTES)
    received = receive(connection, memoryview(first))
    shape = shape_of(bytes(first[:received]))
    if shape is None or shape.size * num < MIN_BYTES:
        reader.feed(first, 0, received)
        return None
    buffer = bytearray(shape.size * num)
    buffer[:received] = first[:received]
    view = memoryview(buffer)
    for start in range(0, shape.size * num, shape.size):
        is_alike = True
        while is_alike and received < start + shape.size:
            is_alike = is_beginning(view[start:received], shape)
            if is_alike:  # so more is to come
                received += receive(connection, view[received:])
        for offset, piece in shape.frame:
            is_alike = is_alike and buffer.startswith(piece, start + offset)
        if not is_alike:
            reader.feed(buffer, 0, received)
            return None
    matrix = np.frombuffer(buffer, np.uint8, count=shape.size * num).reshape(num, shape.size)
    return [matrix[:, place] for place in shape.values]


def is_beginning(answer: memoryview, shape: Shape) -> bool:
    """Whether what has come of an answer begins one of that shape."""
    for start, piece in shape.frame:
        there = answer[start : start + len(piece)]
        if there != piece[: len(there)]:
            return False
        if len(there) < len(piece):
            return True
    return True


def shape_of(data: bytes) -> Shape | None:
    """The shape of the answer that begins here; None when it lacks a value or is no list.

    Of the last value only its length has to be there.
    """
    end = data.find(END, 0, HEADER_BYTES)
    if not data.startswith(b"*") or end < 0:
        return None
    frame, values, start, at = [], [], 0, end + len(END)
    for _ in range(int(data[1:end])):
        end = data.find(END, at, at + HEADER_BYTES)
        if end < 0 or data[at : at + 1] != b"$" or data[at + 1 : at + 2] == b"-":
            return None
        length, begin = int(data[at + 1 : end]), end + len(END)
        frame.append((start, data[start:begin]))
        values.append(slice(begin, begin + length))
        start = begin + length
        at = start + len(END)
    return Shape(size=at, values=values, frame=[*frame, (start, END)])


def receive(connection: Connection, into: memoryview) -> int:
    """Some bytes from the server; how many."""
    try:
        received: int = connection._sock.recv_into(into)
    except TimeoutError as error:
        raise RedisTimeoutError("Timeout reading from socket") from error
    except OSError as error:
        raise RedisConnectionError(f"Error while reading from socket: {error}") from error
    if not received:
        raise RedisConnectionError("Connection closed by server")
    return received
