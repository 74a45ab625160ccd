"""Draws images like those of a camera in a container yard, since no photographs with a clear licence are at hand.

A container with its number (ISO 6346, with a valid check digit) and a lorry with a plate (an invented format), seen at
an angle, with noise and blur. The same seed gives the same image. Owner codes and plates are made up.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WIDTH_PIXELS, HEIGHT_PIXELS = 960, 640
OWNER_CODES = ("HNSU", "NRVU", "SKGU", "WDZU")
PLATE_LETTERS = "ABCDEFHJKLNPRSTVXYZ"
STEEL_COLOURS = ((150, 52, 40), (36, 84, 128), (42, 104, 74), (196, 128, 36), (110, 112, 118))

Corner = tuple[float, float]
Quad = tuple[Corner, Corner, Corner, Corner]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class YardImage:
    """A drawn image as a JPEG file, what stands in it, and where: corners in pixels, clockwise from the upper left."""

    jpeg: bytes
    container_number: str
    container_box: Quad
    plate: str
    plate_box: Quad


@dataclass(frozen=True, slots=True)
class _Panel:
    """A flat picture with text, and the text's rectangle (left, top, right, bottom) on it."""

    picture: Image.Image
    text_box: tuple[float, float, float, float]


def check_digit(number: str) -> int:
    """The check digit of the first ten characters of a container number (ISO 6346, annex A).

    Letters count 10 to 38 without the multiples of 11. Raises ValueError on anything but four letters and six digits.
    """
    letters, digits = number[:4], number[4:]
    if len(number) != 10 or not (letters.isascii() and letters.isalpha() and letters.isupper() and digits.isdecimal()):
        raise ValueError(f"{number!r} is not four capital letters and six digits")
    values = [value for value in range(10, 39) if value % 11]
    ranks = [values[ord(letter) - ord("A")] for letter in letters] + [int(digit) for digit in digits]
    return sum(rank << position for position, rank in enumerate(ranks)) % 11 % 10


def is_container_number(text: str) -> bool:
    """Whether the text, spaces apart, is a container number with a right check digit."""
    number = text.replace(" ", "")
    try:
        return len(number) == 11 and str(check_digit(number[:10])) == number[10]
    except ValueError:
        return False


def yard_image(seed: int) -> YardImage:
    """The image of a seed; container number and plate follow from it, too."""
    chance = np.random.default_rng([seed, 6346])
    number, plate = _container_number(chance), _plate(chance)
    scene = _ground(chance)
    container = _container_panel(number, chance)
    container_box = _mount(scene, container, _corners(chance, (90, 110, 830, 390), 34))
    plate_box = _mount(scene, _plate_panel(plate), _corners(chance, (360, 500, 620, 570), 9))
    return YardImage(_as_seen(scene, chance), number, container_box, plate, plate_box)


def _container_number(chance: np.random.Generator) -> str:
    owner = OWNER_CODES[chance.integers(len(OWNER_CODES))]
    body = f"{owner}{chance.integers(1_000_000):06d}"
    return f"{owner} {body[4:]} {check_digit(body)}"


def _plate(chance: np.random.Generator) -> str:
    letters = "".join(PLATE_LETTERS[index] for index in chance.integers(len(PLATE_LETTERS), size=3))
    return f"{letters[:2]} {chance.integers(1_000, 10_000)} {letters[2]}"


def _ground(chance: np.random.Generator) -> Image.Image:
    """Sky above, asphalt below, both getting darker towards the ground."""
    light = float(chance.uniform(0.75, 1.0))
    rows = np.linspace(0, 1, HEIGHT_PIXELS)[:, None, None]
    sky, asphalt = np.array([176, 190, 204]), np.array([92, 92, 90])
    column = np.where(rows < 0.32, sky, asphalt) * (1.0 - 0.25 * rows) * light
    pixels = np.broadcast_to(column, (HEIGHT_PIXELS, WIDTH_PIXELS, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def _container_panel(number: str, chance: np.random.Generator) -> _Panel:
    """Corrugated steel with the number in white."""
    colour = STEEL_COLOURS[chance.integers(len(STEEL_COLOURS))]
    columns = np.arange(800)
    shade = 1.0 + 0.10 * np.sign(np.sin(columns * 2 * np.pi / 32))[None, :, None]
    steel = np.clip(np.array(colour)[None, None, :] * shade, 0, 255)
    picture = Image.fromarray(np.broadcast_to(steel, (320, 800, 3)).astype(np.uint8))
    return _lettered(picture, number, 64, (244, 244, 240))


def _plate_panel(plate: str) -> _Panel:
    """Black on white in a black frame."""
    picture = Image.new("RGB", (520, 140), (238, 238, 232))
    ImageDraw.Draw(picture).rectangle((0, 0, 519, 139), outline=(20, 20, 20), width=6)
    return _lettered(picture, plate, 84, (18, 18, 20))


def _lettered(picture: Image.Image, text: str, size: int, ink: tuple[int, int, int]) -> _Panel:
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size)  # comes with Pillow, so it is the same on every machine
    centre = (picture.width / 2, picture.height / 2)
    draw.text(centre, text, font=font, fill=ink, anchor="mm", stroke_width=1, stroke_fill=ink)
    return _Panel(picture, draw.textbbox(centre, text, font=font, anchor="mm", stroke_width=1))


def _corners(chance: np.random.Generator, rectangle: tuple[int, int, int, int], shift: int) -> Quad:
    """A rectangle of the scene seen at an angle: each corner moved by up to ``shift`` pixels."""
    left, top, right, bottom = rectangle
    moves = chance.uniform(-shift, shift, size=8)
    points = (left, top, right, top, right, bottom, left, bottom)
    x0, y0, x1, y1, x2, y2, x3, y3 = (float(point + move) for point, move in zip(points, moves, strict=True))
    return (x0, y0), (x1, y1), (x2, y2), (x3, y3)


def _mount(scene: Image.Image, panel: _Panel, corners: Quad) -> Quad:
    """Puts a panel into the scene so that it fills ``corners``; returns where its text came to lie."""
    width, height = panel.picture.size
    flat: Quad = ((0.0, 0.0), (float(width), 0.0), (float(width), float(height)), (0.0, float(height)))
    backwards = _homography(corners, flat).flatten()[:8]
    size, how = (WIDTH_PIXELS, HEIGHT_PIXELS), Image.Transform.PERSPECTIVE
    seen = panel.picture.transform(size, how, tuple(backwards), Image.Resampling.BICUBIC)
    mask = Image.new("L", panel.picture.size, 255).transform(size, how, tuple(backwards), Image.Resampling.BILINEAR)
    scene.paste(seen, (0, 0), mask)
    left, top, right, bottom = panel.text_box
    forwards = _homography(flat, corners)
    first, second, third, fourth = (
        _mapped(forwards, point) for point in ((left, top), (right, top), (right, bottom), (left, bottom))
    )
    return first, second, third, fourth


def _homography(source: Sequence[Corner], target: Sequence[Corner]) -> Floats:
    """The 3 x 3 projective map that takes four points to four others (direct linear solution, last element 1)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solved = np.linalg.solve(np.array(rows, dtype=np.float64), np.array(values, dtype=np.float64))
    return np.append(solved, 1.0).reshape(3, 3)


def _mapped(homography: Floats, point: Corner) -> Corner:
    x, y, w = homography @ np.array([point[0], point[1], 1.0])
    return float(x / w), float(y / w)


def _as_seen(scene: Image.Image, chance: np.random.Generator) -> bytes:
    """What the camera makes of it: a soft lens, a noisy sensor, JPEG."""
    soft = scene.filter(ImageFilter.GaussianBlur(float(chance.uniform(0.4, 1.1))))
    noise = chance.normal(0.0, float(chance.uniform(2.0, 7.0)), size=(HEIGHT_PIXELS, WIDTH_PIXELS, 3))
    pixels = np.clip(np.asarray(soft, dtype=np.float64) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=85)
    return file.getvalue()
