import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.pictures import opened, picture
from training.inputs.image_decoding import ImageLimits, bounded_jpeg, square_pixels
from training.inputs.image_errors import ImageRefused

LIMITS = ImageLimits(max_pixels=1_000_000, kept_side=64)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data):
    """A chunk of a PNG."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_every_format_becomes_a_bounded_jpeg_of_the_same_shape(kind):
    kept = opened(bounded_jpeg(picture(400, 100, kind=kind), LIMITS))
    assert (kept.format, kept.mode, kept.size) == ("JPEG", "RGB", (64, 16))


def test_a_small_image_is_not_enlarged():
    assert opened(bounded_jpeg(picture(20, 10), LIMITS)).size == (20, 10)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "I;16"])
def test_every_mode_becomes_rgb(mode):
    assert opened(bounded_jpeg(picture(mode=mode, kind="PNG"), LIMITS)).mode == "RGB"


def sixteen_bits(kind, *channels, chunks=b""):
    """A PNG of 16-bit channels that each have one value all over."""
    row = b"\0" + struct.pack(f">{len(channels)}H", *channels) * 8
    header = struct.pack(">IIBBBBB", 8, 8, 16, kind, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(row * 8))
    return SIGNATURE + chunk(b"IHDR", header) + chunks + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("level", [0, 0x4080, 0x8000, 0xFFFF])
@pytest.mark.parametrize("kind", ["grey", "grey and alpha", "rgb", "rgba"])
def test_sixteen_bits_keep_their_brightness(kind, level):
    colours = (level,) if "grey" in kind else (level,) * 3
    channels = (*colours, 0xFFFF) if kind in ("grey and alpha", "rgba") else colours
    number = {"grey": 0, "rgb": 2, "grey and alpha": 4, "rgba": 6}[kind]
    kept = np.asarray(opened(bounded_jpeg(sixteen_bits(number, *channels), LIMITS)))
    assert abs(kept.mean() - level / 257) <= 1.5


def test_the_transparent_grey_of_sixteen_bits_becomes_white():
    for transparent, brightness in ((0x4080, 255), (0x4081, 0x40)):
        chunks = chunk(b"tRNS", struct.pack(">H", transparent))
        kept = opened(bounded_jpeg(sixteen_bits(0, 0x4080, chunks=chunks), LIMITS))
        assert abs(np.asarray(kept).mean() - brightness) <= 1


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGB", {"transparency": (1, 2, 3)}),
        ("PNG", "P", {"transparency": 5}),
        ("PNG", "I;16", {"transparency": 5}),
        ("WEBP", "RGBA", {}),
        ("JPEG", "RGB", {"progressive": True}),
    ],
)
def test_decoding_takes_no_more_memory_than_was_taken_from_the_budget(kind, mode, options):
    image = Image.new("L", (2000, 1500), 90).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    taken, peak = json.loads(
        subprocess.run(
            [sys.executable, "-c", PEAK],
            input=buffer.getvalue(),
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            check=True,
        ).stdout
    )
    assert 0 < peak <= taken + 4_000_000


PEAK = """
import json, sys
from pathlib import Path
from training.inputs.image_decoding import ImageLimits, bounded_jpeg
from training.inputs.pixel_budget import PixelBudget
from PIL import Image

class Budget(PixelBudget):
    def holding(self, num_bytes):
        self.taken = num_bytes
        return super().holding(num_bytes)

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

Image.init()
content, budget, before = sys.stdin.buffer.read(), Budget(2**30), peak()
bounded_jpeg(content, ImageLimits(), budget)
print(json.dumps([budget.taken, peak() - before]))
"""


def test_an_image_that_needs_more_than_all_memory_is_refused_by_name():
    limits = ImageLimits(max_decoding_bytes=40 * 30 * 4)
    assert bounded_jpeg(picture(kind="PNG"), limits)
    with pytest.raises(ImageRefused, match="needs too much memory"):
        bounded_jpeg(picture(41, 30, kind="PNG"), limits)


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
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        SIGNATURE
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
