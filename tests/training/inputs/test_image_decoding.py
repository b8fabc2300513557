import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.training.pictures import opened, picture
from training.inputs.image_decoding import ImageLimits, bounded_jpeg, square_pixels
from training.inputs.image_errors import ImageRefused

LIMITS = ImageLimits(max_pixels=1_000_000, kept_side=64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_every_format_becomes_a_bounded_jpeg_of_the_same_shape(kind):
    kept = opened(bounded_jpeg(picture(400, 100, kind=kind), LIMITS))
    assert (kept.format, kept.mode, kept.size) == ("JPEG", "RGB", (64, 16))


def test_a_small_image_is_not_enlarged():
    assert opened(bounded_jpeg(picture(20, 10), LIMITS)).size == (20, 10)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "I;16"])
def test_every_mode_becomes_rgb(mode):
    assert opened(bounded_jpeg(picture(mode=mode, kind="PNG"), LIMITS)).mode == "RGB"


def test_cmyk_becomes_rgb():
    assert opened(bounded_jpeg(picture(mode="CMYK"), LIMITS)).mode == "RGB"


def test_transparent_parts_become_white():
    buffer = io.BytesIO()
    Image.new("RGBA", (32, 32), (255, 0, 0, 0)).save(buffer, "PNG")
    kept = np.asarray(opened(bounded_jpeg(buffer.getvalue(), LIMITS)))
    assert kept.min() > 250


def test_a_sideways_photograph_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (60, 20), (9, 9, 9)).save(buffer, "JPEG", exif=exif)
    assert opened(bounded_jpeg(buffer.getvalue(), LIMITS)).size == (20, 60)


def test_metadata_are_not_kept():
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "JPEG", exif=exif)
    assert b"secret" not in bounded_jpeg(buffer.getvalue(), LIMITS)


def bomb(width, height):
    """A PNG of a few bytes whose header claims width x height pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(1001, 1000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_by_the_header(width, height):
    with pytest.raises(ImageRefused, match="too many pixels"):
        bounded_jpeg(bomb(width, height), LIMITS)


WHOLE = picture(200, 200)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:20] + bytes(2000),
        bomb(100, 100),
    ],
    ids=["empty", "text", "svg", "pdf", "truncated", "garbage", "short pixels"],
)
def test_what_is_no_whole_image_is_refused(content):
    with pytest.raises(ImageRefused, match="not a readable image"):
        bounded_jpeg(content, LIMITS)


def test_random_damage_is_refused_or_decoded_never_another_error():
    rng = np.random.default_rng(0)
    originals = [picture(kind=kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP")]
    refused = 0
    for _ in range(200):
        content = bytearray(originals[rng.integers(len(originals))])
        for place in rng.integers(0, len(content), 5):
            content[place] = rng.integers(256)
        try:
            assert opened(bounded_jpeg(bytes(content), LIMITS)).mode == "RGB"
        except ImageRefused:
            refused += 1
    assert 0 < refused < 200


def test_pixels_are_the_centre_of_the_image():
    image = Image.new("RGB", (90, 30), (255, 0, 0))
    image.paste((0, 0, 255), (30, 0, 60, 30))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    pixels = square_pixels(buffer.getvalue(), 16)
    assert pixels.shape == (3, 16, 16)
    assert pixels.dtype == np.uint8
    red, _, blue = pixels[:, 4:12, 4:12].mean(axis=(1, 2))
    assert blue > 240
    assert red < 20
