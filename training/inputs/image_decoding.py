"""Decodes untrusted image bytes to a small, clean JPEG, and JPEGs to pixels.

Pillow reads the header first: the size is checked, and memory is taken from a budget, before pixels
are decoded.
"""

import io
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, _imaging

from training.inputs.image_errors import BROKEN, ImageRefused
from training.inputs.pixel_budget import PixelBudget

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
"""Formats of photographs on the web; decoders of other formats are never entered."""

WHITE = (255, 255, 255)

STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2}
"""Bytes of a decoded pixel in Pillow by mode; 4 in all others."""

COPIED_BYTES = {"1": 1, "P": 4, "I;16": 4}
"""Bytes a pixel of the copies that are made before an image is shrunk."""

TRANSPARENT_BYTES, WEBP_BYTES, COEFFICIENT_BYTES = 8, 12, 6
"""Further bytes a pixel: of copies with transparency, of the canvases of WebP's decoder, and of the
coefficients that a progressive JPEG keeps at full size."""


BLOCK_BYTES = 64 * 2**20
"""Pillow allocates pixels in blocks of this size. glibc keeps freed blocks of up to 32 MB, for each
thread its own, and returns larger ones to the system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """Maximum size of an image to read (bytes, pixels), and of the kept JPEG.

    All images that are decoded at one time take at most `max_decoding_bytes`.
    """

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    max_decoding_bytes: int = 512 * 2**20
    kept_side: int = 256
    kept_quality: int = 88


def bounded_jpeg(content: bytes, limits: ImageLimits, budget: PixelBudget | None = None) -> bytes:
    """Decode an image of any allowed format and encode it as JPEG within `kept_side` square.

    The JPEG is upright (EXIF), shows the first frame, and has transparency on white. Waits for the
    bytes of the budget that decoding needs, by default all that the limits allow. Raises
    ImageRefused if the format is not allowed, or the image is too large or broken.
    """
    budget = budget or PixelBudget(limits.max_decoding_bytes)
    try:
        with ExitStack() as memory:
            return encode(small_image(content, limits, budget, memory), limits)
    except ImageRefused:
        raise
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRefused("too many pixels") from error
    except Exception as error:
        # Decoders raise arbitrary errors on malformed bytes; all mean the same.
        raise ImageRefused(BROKEN) from error


def return_freed_memory() -> None:
    """Let the memory of large images go back to the system when they are freed."""
    _imaging.set_block_size(BLOCK_BYTES)


def small_image(
    content: bytes, limits: ImageLimits, budget: PixelBudget, memory: ExitStack
) -> Image.Image:
    """Decode within `kept_side` square; `memory` holds what that takes until the rest is freed."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        check_size(image, limits)
        full_size = image.size
        image.draft("RGB", (2 * limits.kept_side, 2 * limits.kept_side))
        memory.enter_context(budget.holding(decoding_bytes(image, full_size)))
        return upright_rgb(image, limits.kept_side)


def check_size(image: Image.Image, limits: ImageLimits) -> None:
    """Raise ImageRefused if the header states too many pixels."""
    if image.width * image.height > limits.max_pixels:
        raise ImageRefused("too many pixels")


def decoding_bytes(image: Image.Image, full_size: tuple[int, int]) -> int:
    """The most memory that decoding and shrinking take, by the header; a draft is smaller."""
    bytes_per_pixel = STORED_BYTES.get(image.mode, 4) + COPIED_BYTES.get(image.mode, 0)
    if image.has_transparency_data:
        bytes_per_pixel += TRANSPARENT_BYTES
    if image.format == "WEBP":
        bytes_per_pixel += WEBP_BYTES
    num_bytes = image.width * image.height * bytes_per_pixel
    if "progressive" in image.info:
        num_bytes += full_size[0] * full_size[1] * COEFFICIENT_BYTES
    return num_bytes


def upright_rgb(image: Image.Image, side: int) -> Image.Image:
    """Decode, shrink to `side`, turn upright, flatten on white."""
    image.seek(0)
    image.load()
    small = resizable(image)
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return ImageOps.exif_transpose(flattened(small))


def resizable(image: Image.Image) -> Image.Image:
    """The image in a mode of 8 bits that can be resized: transparent ones with premultiplied alpha.

    Copies are made only where the mode requires one, because they have the image's full size.
    """
    if image.mode == "I;16":
        image = eight_bits(image)
    if image.has_transparency_data:
        return image.convert("RGBA").convert("RGBa")
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGB") if image.mode == "P" else image


def eight_bits(image: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits; the grey level that stands for transparency becomes alpha."""
    grey = image.point(lambda level: level * (1 / 256)).convert("L")
    if isinstance(level := image.info.get("transparency"), int):
        grey.putalpha(Image.fromarray(np.asarray(image) != level).convert("L"))
    grey.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return grey


def flattened(image: Image.Image) -> Image.Image:
    """In RGB, transparent parts white."""
    if image.mode != "RGBa":
        return image.convert("RGB")
    layered = image.convert("RGBA")
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
