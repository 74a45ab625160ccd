"""Reads text with positions from an image: rapidocr's bundled ONNX models on the CPU.

The models (PP-OCRv6 small, detection and recognition, Apache-2.0) ship inside the package and are opened by path, so
that nothing is ever downloaded. A model is not thread-safe; whoever holds one calls it from one thread at a time.
"""

from __future__ import annotations

import io
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig, OmegaConf
from PIL import Image, ImageOps

PIXELS_MAX = 16_000_000
SIDE_PIXELS_MIN = 16
SIDE_PIXELS_MAX = 8_192
DETECTION_SIDE_PIXELS = 960
FORMATS = ("PNG", "JPEG")

Pixels = npt.NDArray[np.uint8]
Corner = tuple[float, float]
Quad = tuple[Corner, Corner, Corner, Corner]


class ImageRefused(ValueError):
    """The bytes are no image that may be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text: its four corners in pixels of the image, clockwise from the upper left, and the score in 0..1."""

    text: str
    box: Quad
    score: float


def decode_image(content: bytes) -> Pixels:
    """A PNG or JPEG as height x width x 3, blue first, turned upright.

    The size is checked before a pixel is unpacked. Raises ImageRefused.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(*image.size)
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except Image.DecompressionBombError as error:
        raise ImageRefused(f"the image has over {PIXELS_MAX} pixels") from error
    except ImageRefused:
        raise
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageRefused("not a readable PNG or JPEG image") from error
    return np.ascontiguousarray(np.asarray(upright, dtype=np.uint8)[:, :, ::-1])


def _check_size(width: int, height: int) -> None:
    if width * height > PIXELS_MAX:
        raise ImageRefused(f"the image has {width} x {height} pixels; at most {PIXELS_MAX} are read")
    if not all(SIDE_PIXELS_MIN <= side <= SIDE_PIXELS_MAX for side in (width, height)):
        bounds = f"each side has to have {SIDE_PIXELS_MIN} to {SIDE_PIXELS_MAX}"
        raise ImageRefused(f"the image has {width} x {height} pixels; {bounds}")


class OcrModel:
    """Detection and recognition, loaded and warmed up by the constructor."""

    def __init__(self, thread_count: int) -> None:
        cv2.setNumThreads(thread_count)
        self._engine = _load_engine(thread_count)
        self.read(np.full((64, 192, 3), 255, dtype=np.uint8))
        self.read(_warm_up_image())

    def read(self, image: Pixels) -> tuple[Line, ...]:
        """Every line of text in the image, in the order of the detector; empty when there is none."""
        found = self._engine(image)
        if found.txts is None or found.boxes is None:
            return ()
        return tuple(
            Line(str(text), _quad(box), float(score))
            for text, box, score in zip(found.txts, found.boxes, found.scores, strict=True)
        )


def _quad(box: npt.NDArray[np.float32]) -> Quad:
    first, second, third, fourth = ((float(x), float(y)) for x, y in box)
    return first, second, third, fourth


def _warm_up_image() -> Pixels:
    image: Pixels = np.full((64, 320, 3), 255, dtype=np.uint8)
    cv2.putText(image, "WARM UP 1", (20, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 3)
    return image


def _load_engine(thread_count: int) -> Any:
    with _without_download_table():
        from rapidocr import RapidOCR
    models = files("rapidocr").joinpath("models")
    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,  # cameras in a yard stand upright
            "Global.max_side_len": SIDE_PIXELS_MAX,
            "Det.model_path": str(models.joinpath("PP-OCRv6_det_small.onnx")),
            "Det.limit_type": "max",
            "Det.limit_side_len": DETECTION_SIDE_PIXELS,
            "Rec.model_path": str(models.joinpath("PP-OCRv6_rec_small.onnx")),
            "EngineConfig.onnxruntime.intra_op_num_threads": thread_count,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    logging.getLogger("RapidOCR").disabled = True
    return engine


def _without_download_table() -> AbstractContextManager[object]:
    """Hides from rapidocr, while it is imported, the table of where models could be downloaded.

    It parses that table twice on import, which takes longer than loading the models, and needs it only to download.
    """
    whole = OmegaConf.load

    def load(source: Any) -> Any:
        return DictConfig({}) if str(source).endswith("default_models.yaml") else whole(source)

    return patch.object(OmegaConf, "load", load)
