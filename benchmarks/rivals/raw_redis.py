"""Redis itself: SETs in a pipeline, 1,000 at once, and MGET."""

import numpy as np
from numpy.typing import NDArray
from redis import Redis

ROWS_AT_ONCE = 1_000


def write(client: Redis, user_ids: list[str], vectors: NDArray[np.float32]) -> None:
    """SET the bytes of a vector for each user."""
    for first in range(0, len(user_ids), ROWS_AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        part = slice(first, first + ROWS_AT_ONCE)
        for user_id, vector in zip(user_ids[part], vectors[part], strict=True):
            pipeline.set(user_id, vector.tobytes())
        pipeline.execute()


def read(client: Redis, user_ids: list[str], width: int) -> NDArray[np.float32]:
    """The vectors of users as a matrix."""
    return np.frombuffer(b"".join(client.mget(user_ids)), np.float32).reshape(-1, width)
