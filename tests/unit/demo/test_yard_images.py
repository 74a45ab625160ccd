"""The drawn yard images: valid container numbers, the same image for the same seed, boxes where the text is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hansa_demo.yard_images import (
    HEIGHT_PIXELS,
    WIDTH_PIXELS,
    check_digit,
    is_container_number,
    yard_image,
)
from PIL import Image


@pytest.mark.parametrize(
    ("number", "digit"),
    [("CSQU305438", 3), ("TOLU473478", 7), ("TEXU307007", 9)],  # examples of the standard and of its literature
)
def test_check_digit_of_known_numbers(number: str, digit: int) -> None:
    assert check_digit(number) == digit


@pytest.mark.parametrize(
    "number", ["", "CSQU30543", "CSQU3054388", "csqu305438", "CSQ3305438", "CSQU30543X", "ÄSQU305438"]
)
def test_what_is_no_number_has_no_check_digit(number: str) -> None:
    with pytest.raises(ValueError, match="four capital letters"):
        check_digit(number)


def test_a_wrong_check_digit_is_noticed() -> None:
    assert is_container_number("CSQU 305438 3")
    assert not is_container_number("CSQU 305438 4")
    assert not is_container_number("CSQU 305438")
    assert not is_container_number("RE 1202 L")


@pytest.mark.parametrize("seed", range(8))
def test_every_container_number_is_valid(seed: int) -> None:
    assert is_container_number(yard_image(seed).container_number)


def test_same_seed_same_image_other_seed_other_image() -> None:
    assert yard_image(7) == yard_image(7)
    assert yard_image(7).jpeg != yard_image(8).jpeg
    assert len({yard_image(seed).container_number for seed in range(10)}) == 10


def test_the_image_is_a_jpeg_of_the_size_promised() -> None:
    with Image.open(io.BytesIO(yard_image(3).jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (WIDTH_PIXELS, HEIGHT_PIXELS))


def test_the_container_number_is_brighter_than_the_steel_around_it() -> None:
    drawn = yard_image(3)
    with Image.open(io.BytesIO(drawn.jpeg)) as image:
        grey = np.asarray(image.convert("L"), dtype=float)
    xs, ys = zip(*drawn.container_box, strict=True)
    inside = grey[int(min(ys)) : int(max(ys)), int(min(xs)) : int(max(xs))]
    below = grey[int(max(ys)) + 10 : int(max(ys)) + 40, int(min(xs)) : int(max(xs))]
    assert inside.max() > 220
    assert inside.std() > 2 * below.std()
