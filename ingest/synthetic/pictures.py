"""Small pictures that show a topic: its colours, its shape in many variations, and a word."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ingest.synthetic.topics import Colour, Topic

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SIZES = (64, 80, 96)


def draw_picture(path: Path, topic: Topic, word: str, rng: np.random.Generator) -> None:
    """Write one JPEG of 64 to 96 pixels a side."""
    from PIL import Image, ImageDraw

    size = int(rng.choice(SIZES))
    image = Image.new("RGB", (size, size), _varied(topic.background, rng))
    draw = ImageDraw.Draw(image)
    ink = _varied(topic.ink, rng)
    for _ in range(int(rng.integers(1, 4))):
        radius = float(rng.uniform(0.12, 0.3)) * size
        x, y = (float(value) for value in rng.uniform(radius, size - radius, size=2))
        _SHAPES[topic.shape](draw, x, y, radius, ink)
    draw.text((3, size - 13), word[:12], fill=ink)
    image.save(path, format="JPEG", quality=80)


def _varied(colour: Colour, rng: np.random.Generator) -> Colour:
    red, green, blue = np.clip(np.array(colour) + rng.integers(-18, 19, size=3), 0, 255).tolist()
    return red, green, blue


def _wheel(draw: "ImageDraw", x: float, y: float, r: float, ink: Colour) -> None:
    draw.ellipse((x - r, y - r, x + r, y + r), outline=ink, width=2)
    for angle in np.linspace(0, np.pi, 6, endpoint=False):
        dx, dy = float(r * np.cos(angle)), float(r * np.sin(angle))
        draw.line((x - dx, y - dy, x + dx, y + dy), fill=ink)


def _loaf(draw: "ImageDraw", x: float, y: float, r: float, ink: Colour) -> None:
    draw.rounded_rectangle((x - r, y - r / 2, x + r, y + r / 2), radius=r / 2, fill=ink)
    for offset in (-r / 2, 0.0, r / 2):
        draw.line((x + offset, y - r / 3, x + offset + r / 4, y + r / 4), fill=(255, 240, 210))


def _stars(draw: "ImageDraw", x: float, y: float, r: float, ink: Colour) -> None:
    for angle in np.linspace(0, 2 * np.pi, 7, endpoint=False):
        dx, dy = float(r * np.cos(angle)), float(r * np.sin(angle))
        draw.ellipse((x + dx - 1.5, y + dy - 1.5, x + dx + 1.5, y + dy + 1.5), fill=ink)
    draw.ellipse((x - r / 3, y - r / 3, x + r / 3, y + r / 3), fill=ink)


def _leaf(draw: "ImageDraw", x: float, y: float, r: float, ink: Colour) -> None:
    draw.polygon(((x, y - r), (x + r / 2, y), (x, y + r), (x - r / 2, y)), fill=ink)
    draw.line((x, y - r, x, y + 1.4 * r), fill=(90, 60, 30), width=2)


def _ball(draw: "ImageDraw", x: float, y: float, r: float, ink: Colour) -> None:
    draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    draw.regular_polygon((x, y, r / 2), 5, fill=(20, 20, 20))


def _keys(draw: "ImageDraw", x: float, y: float, r: float, ink: Colour) -> None:
    for column in range(4):
        left = x - r + column * r / 2
        draw.rectangle((left, y - r, left + r / 2, y + r), fill=ink, outline=(20, 10, 20))
        draw.rectangle((left + r / 3, y - r, left + r / 2 + r / 6, y), fill=(20, 10, 20))


_SHAPES = {
    "wheel": _wheel,
    "loaf": _loaf,
    "stars": _stars,
    "leaf": _leaf,
    "ball": _ball,
    "keys": _keys,
}
