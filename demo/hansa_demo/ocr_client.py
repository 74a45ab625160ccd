"""Asks a running instance to read an image: the Open Inference Protocol, version 2, over mutual TLS."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import aiohttp

from hansa_demo.ocr_model import Quad
from hansa_demo.ocr_protocol import INPUT_NAME, MODEL_NAME

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was read: texts, their corners in pixels and scores in 0..1, one each a line, and the times.

    ``server_ms`` is what the instance says it took, queueing included; ``client_ms`` is the round trip as seen here.
    """

    texts: tuple[str, ...]
    boxes: tuple[Quad, ...]
    scores: tuple[float, ...]
    server_ms: float
    client_ms: float


class RecognitionError(Exception):
    """The instance did not answer or refused. ``status`` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, *, status: int = 0, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field


def client_context(ca_pem: bytes, cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """TLS 1.3 that trusts ``ca_pem`` alone, checks the name or address called, and shows a client certificate.

    Raises OSError (ssl.SSLError among it) when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    context.load_cert_chain(cert_file, key_file)
    return context


class OcrClient:
    """Keeps one connection to an instance; use it as an async context manager."""

    def __init__(self, endpoint_url: str, context: ssl.SSLContext, timeout_s: float = TIMEOUT_S) -> None:
        self._url = f"{endpoint_url.rstrip('/')}/v2/models/{MODEL_NAME}/infer"
        self._context = context
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._context, limit=1)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def recognise(self, image_bytes: bytes) -> Recognition:
        """Reads a PNG or JPEG file; raises RecognitionError."""
        if self._session is None:
            raise RuntimeError("use OcrClient as an async context manager")
        begun = perf_counter()
        try:
            async with self._session.post(self._url, json=infer_body(image_bytes)) as response:
                status, content = response.status, await response.read()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise RecognitionError(f"{self._url}: {error or type(error).__name__}") from error
        client_ms = (perf_counter() - begun) * 1000
        return parse_recognition(status, content, client_ms)


async def recognise(
    endpoint_url: str, ca_pem: bytes, cert_file: Path, key_file: Path, image_bytes: bytes
) -> Recognition:
    """One image over a connection of its own, so ``client_ms`` includes the TLS handshake; raises RecognitionError."""
    async with OcrClient(endpoint_url, client_context(ca_pem, cert_file, key_file)) as client:
        return await client.recognise(image_bytes)


def infer_body(image_bytes: bytes) -> dict[str, object]:
    """The request for one image."""
    data = base64.b64encode(image_bytes).decode("ascii")
    return {"inputs": [{"name": INPUT_NAME, "shape": [1], "datatype": "BYTES", "data": [data]}]}


def parse_recognition(status: int, content: bytes, client_ms: float) -> Recognition:
    """Reads an answer; raises RecognitionError when it is a refusal or not what the protocol says."""
    try:
        answer = json.loads(content)
        if status != 200:
            raise RecognitionError(str(answer["error"]), status=status, field=str(answer.get("field", "")))
        return _recognition(answer, client_ms)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecognitionError(f"HTTP {status} with an answer that cannot be read", status=status) from error


def _recognition(answer: Mapping[str, Any], client_ms: float) -> Recognition:
    data = {tensor["name"]: tensor["data"] for tensor in answer["outputs"]}
    texts, scores = tuple(map(str, data["text"])), tuple(map(float, data["score"]))
    boxes = _boxes(tuple(map(float, data["box"])))
    if not len(texts) == len(scores) == len(boxes):
        raise ValueError("outputs of different length")
    return Recognition(texts, boxes, scores, float(answer["parameters"]["server_ms"]), client_ms)


def _boxes(flat: Sequence[float]) -> tuple[Quad, ...]:
    if len(flat) % 8:
        raise ValueError("a box has four corners of two coordinates")
    return tuple(
        ((row[0], row[1]), (row[2], row[3]), (row[4], row[5]), (row[6], row[7]))
        for row in (flat[start : start + 8] for start in range(0, len(flat), 8))
    )
