"""Images in, lines out: what is refused before a pixel is unpacked, and the real model on real pixels."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hansa_demo.ocr_model import ImageRefused, Line, OcrModel, Pixels, decode_image
from hansa_demo.ocr_server import QUEUE_LENGTH_MAX, ModelQueue, QueueFull, answer_in_json
from hansa_demo.yard_images import yard_image
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "I;16"])
def test_every_kind_of_png_becomes_three_channels(mode: str) -> None:
    pixels = decode_image(encoded(Image.new(mode, (40, 30))))
    assert pixels.shape == (30, 40, 3)
    assert pixels.dtype == np.uint8


def test_blue_comes_first() -> None:
    assert decode_image(encoded(Image.new("RGB", (20, 20), (255, 128, 0))))[0, 0].tolist() == [0, 128, 255]


def test_an_image_stored_lying_on_its_side_is_turned_upright() -> None:
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, format="JPEG", exif=exif)
    assert decode_image(file.getvalue()).shape == (40, 20, 3)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not a readable"),
        (b"GIF89a", "not a readable"),
        (encoded(Image.new("RGB", (20, 20)), "GIF"), "not a readable"),
        (encoded(Image.new("RGB", (200, 200)))[:80], "not a readable"),
        (yard_image(1).jpeg[:5_000], "not a readable"),
        (encoded(Image.new("1", (8_000, 8_000))), "8000 x 8000"),
        (encoded(Image.new("1", (15_000, 15_000))), "pixels"),
        (encoded(Image.new("1", (15, 100))), "15 x 100"),
        (encoded(Image.new("1", (9_000, 100))), "9000 x 100"),
    ],
)
def test_what_is_no_image_of_bearable_size_is_refused(content: bytes, text: str) -> None:
    with pytest.raises(ImageRefused, match=text):
        decode_image(content)


@pytest.fixture(scope="module")
def model() -> OcrModel:
    return OcrModel(thread_count=1)


@pytest.mark.parametrize("seed", range(3))
def test_number_and_plate_are_read_off_a_yard_image(model: OcrModel, seed: int) -> None:
    drawn = yard_image(seed)
    texts = {line.text.replace(" ", "") for line in model.read(decode_image(drawn.jpeg))}
    assert {drawn.container_number.replace(" ", ""), drawn.plate.replace(" ", "")} <= texts


def test_an_empty_image_has_no_lines(model: OcrModel) -> None:
    assert model.read(np.full((200, 300, 3), 127, dtype=np.uint8)) == ()


@pytest.mark.parametrize("shape", [(16, 16, 3), (16, 8_192, 3), (8_192, 16, 3)])
def test_the_smallest_and_the_longest_images_are_read(model: OcrModel, shape: tuple[int, int, int]) -> None:
    assert model.read(np.full(shape, 255, dtype=np.uint8)) == ()


class HeldModel(OcrModel):
    """Stands still until it is let go."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def read(self, image: Pixels) -> tuple[Line, ...]:
        self.gate.wait(10)
        return ()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor


async def test_a_full_queue_refuses_and_has_room_again_afterwards(executor: ThreadPoolExecutor) -> None:
    held, image = HeldModel(), encoded(Image.new("RGB", (20, 20)))
    queue = ModelQueue(held, executor)
    waiting = [asyncio.create_task(queue.read(image)) for _ in range(QUEUE_LENGTH_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await queue.read(image)
    await asyncio.sleep(0.1)
    held.gate.set()
    answers = await asyncio.gather(*waiting)
    assert len(answers) == QUEUE_LENGTH_MAX
    assert answers[0][1].inference_ms > 50
    assert answers[-1][1].queue_ms > 50
    assert (await queue.read(image))[0] == ()


async def test_a_caller_who_hangs_up_keeps_his_place_until_the_work_is_done(executor: ThreadPoolExecutor) -> None:
    held, image = HeldModel(), encoded(Image.new("RGB", (20, 20)))
    queue = ModelQueue(held, executor)
    waiting = [asyncio.create_task(queue.read(image)) for _ in range(QUEUE_LENGTH_MAX)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(QueueFull):
        await queue.read(image)
    held.gate.set()
    await asyncio.to_thread(executor.submit(int).result)
    await asyncio.sleep(0.05)
    assert (await queue.read(image))[0] == ()


async def test_a_refused_image_gives_its_place_back(executor: ThreadPoolExecutor) -> None:
    queue = ModelQueue(HeldModel(), executor)
    for _ in range(QUEUE_LENGTH_MAX + 1):
        with pytest.raises(ImageRefused):
            await queue.read(b"no image")


async def test_a_model_that_fails_is_one_line_and_an_answer_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    async def out_of_memory(_request: web.Request) -> web.StreamResponse:
        raise MemoryError("first line\nsecond line")

    answer = await answer_in_json(make_mocked_request("POST", "/"), out_of_memory)
    assert isinstance(answer, web.Response)
    assert (answer.status, answer.text) == (500, '{"error": "the inference failed"}')
    assert capsys.readouterr().err.count("\n") == 1
