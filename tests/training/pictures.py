"""Pictures for tests, drawn in memory."""

import io

import numpy as np
from PIL import Image


def picture(width=40, height=30, *, seed=0, kind="JPEG", mode="RGB"):
    """Encoded bytes of a blocky random picture."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, kind)
    return buffer.getvalue()


def opened(content):
    """The picture that the bytes encode."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image
