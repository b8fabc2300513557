"""Decodes untrusted image bytes to a small, clean JPEG, and JPEGs to pixels.

Pillow reads the header first, and the size is checked before pixels are decoded.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.inputs.image_errors import ImageRefused

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
"""Formats of photographs on the web; decoders of other formats are never entered."""

WHITE = (255, 255, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """Maximum size of an image to read (bytes, pixels), and of the kept JPEG."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    kept_side: int = 256
    kept_quality: int = 88


def bounded_jpeg(content: bytes, limits: ImageLimits) -> bytes:
    """Decode an image of any allowed format and encode it as JPEG within `kept_side` square.

    The JPEG is upright (EXIF), shows the first frame, and has transparency on white. Raises
    ImageRefused if the format is not allowed, or the image is too large or broken.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            check_size(image, limits)
            return encode(upright_rgb(image, limits), limits)
    except ImageRefused:
        raise
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRefused("too many pixels") from error
    except Exception as error:
        # Decoders raise arbitrary errors on malformed bytes; all mean the same.
        raise ImageRefused("not a readable image") from error


def check_size(image: Image.Image, limits: ImageLimits) -> None:
    """Raise ImageRefused if the header states too many pixels."""
    if image.width * image.height > limits.max_pixels:
        raise ImageRefused("too many pixels")


def upright_rgb(image: Image.Image, limits: ImageLimits) -> Image.Image:
    """Shrink to `kept_side` (a JPEG while decoding), turn upright, flatten on white."""
    side = limits.kept_side
    image.draft("RGB", (2 * side, 2 * side))
    image.seek(0)
    image.load()
    flat = flatten(image)
    flat.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return flat


def flatten(image: Image.Image) -> Image.Image:
    """An upright RGB copy, transparent parts white."""
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    layered = upright.convert("RGBA")
    background = Image.new("RGB", layered.size, WHITE)
    background.paste(layered, mask=layered.getchannel("A"))
    return background


def encode(image: Image.Image, limits: ImageLimits) -> bytes:
    """JPEG bytes without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=limits.kept_quality)
    return buffer.getvalue()


def square_pixels(jpeg: bytes, side: int) -> NDArray[np.uint8]:
    """Pixels (3, side, side) of the centre of a kept JPEG, its short side resized to `side`."""
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        square = ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))
