"""The demonstration's inference server as a real process over real mutual TLS."""

from __future__ import annotations

import asyncio
import base64
import io
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from hansa_demo.ocr_client import OcrClient, RecognitionError, client_context, recognise
from hansa_demo.yard_images import Quad, is_container_number, yard_image
from ocr_certificates import Identity, issue, spiffe
from PIL import Image

START_S_MAX = 60.0
STOP_S_MAX = 10.0
POLL_S = 0.02
CALLER = "spiffe://nordavind.example/tenant/harbour"


@dataclass(frozen=True)
class Pki:
    """The zone owner's authority with the instance, and the home operator's with its callers."""

    owner_ca: Identity
    instance: Identity
    home_ca: Identity
    caller: Identity


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    owner_ca, home_ca = issue(folder, "owner", []), issue(folder, "home", [])
    address: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return Pki(
        owner_ca=owner_ca,
        instance=issue(folder, "instance", address, owner_ca),
        home_ca=home_ca,
        caller=issue(folder, "caller", spiffe(CALLER), home_ca),
    )


class Server:
    """The server as an agent starts it: with the environment of the contract and no other."""

    def __init__(self, pki: Pki, folder: Path) -> None:
        self.ready_file = folder / "ready"
        self.log = folder / "log"
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.environment = {
            "HANSA_LISTEN_HOST": "127.0.0.1",
            "HANSA_LISTEN_PORT": str(self.port),
            "HANSA_TLS_CERT": str(pki.instance.cert_file),
            "HANSA_TLS_KEY": str(pki.instance.key_file),
            "HANSA_CLIENT_CA": str(pki.home_ca.cert_file),
            "HANSA_CLIENT_IDS": f"spiffe://nordavind.example/other,{CALLER}",
            "HANSA_READY_FILE": str(self.ready_file),
            "HOME": str(folder),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "hansa_demo.ocr_server"]
            self.process = subprocess.Popen(command, env=self.environment, cwd=folder, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        for _ in range(round(START_S_MAX / POLL_S)):
            if self.ready_file.exists():
                return
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"ended with {self.process.wait(POLL_S)}: {self.log.read_text()}")
        pytest.fail(f"not ready in {START_S_MAX} s: {self.log.read_text()}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S_MAX)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(pki, tmp_path_factory.mktemp("instance"))
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def context(pki: Pki) -> ssl.SSLContext:
    return client_context(pki.owner_ca.pem, pki.caller.cert_file, pki.caller.key_file)


async def answer_to(server: Server, context: ssl.SSLContext, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer; a POST when there is something to send."""
    method = "POST" if request else "GET"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.request(method, f"{server.url}{path}", **request) as response,
    ):
        return response.status, await response.json()


async def answer_to_image(server: Server, context: ssl.SSLContext, image: bytes) -> tuple[int, dict[str, Any]]:
    data = [base64.b64encode(image).decode()]
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data}
    return await answer_to(server, context, "/v2/models/ocr/infer", json={"inputs": [tensor]})


def overlap(first: Quad, second: Quad) -> float:
    """Intersection over union of the upright rectangles around two quads."""
    (left, top, right, bottom), (left2, top2, right2, bottom2) = bounds(first), bounds(second)
    width, height = min(right, right2) - max(left, left2), min(bottom, bottom2) - max(top, top2)
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2) - shared)


def bounds(quad: Quad) -> tuple[float, float, float, float]:
    xs, ys = zip(*quad, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


@pytest.mark.parametrize("seed", [11, 12, 13])
async def test_the_right_client_reads_number_and_plate_where_they_stand(pki: Pki, server: Server, seed: int) -> None:
    drawn = yard_image(seed)
    caller = pki.caller
    read = await recognise(server.url, pki.owner_ca.pem, caller.cert_file, caller.key_file, drawn.jpeg)
    found = {text.replace(" ", ""): box for text, box in zip(read.texts, read.boxes, strict=True)}
    number, plate = drawn.container_number.replace(" ", ""), drawn.plate.replace(" ", "")
    assert {number, plate} <= found.keys()
    assert is_container_number(number)
    assert overlap(found[number], drawn.container_box) > 0.5
    assert overlap(found[plate], drawn.plate_box) > 0.5
    assert min(read.scores) > 0.5
    assert 0 < read.server_ms < read.client_ms


async def test_one_connection_serves_several_images(server: Server, context: ssl.SSLContext) -> None:
    async with OcrClient(server.url, context) as client:
        images = [yard_image(seed) for seed in (21, 22)]
        for image in images:
            read = await client.recognise(image.jpeg)
            assert image.container_number.replace(" ", "") in {text.replace(" ", "") for text in read.texts}


async def test_an_image_without_text_has_an_empty_answer(server: Server, context: ssl.SSLContext) -> None:
    file = io.BytesIO()
    Image.new("RGB", (320, 240), (90, 90, 90)).save(file, format="PNG")
    status, answer = await answer_to_image(server, context, file.getvalue())
    assert status == 200
    assert [tensor["shape"] for tensor in answer["outputs"]] == [[0], [0, 4, 2], [0]]


async def test_health_and_metadata_answer(server: Server, context: ssl.SSLContext) -> None:
    assert await answer_to(server, context, "/v2/health/live") == (200, {"live": True})
    assert await answer_to(server, context, "/v2/health/ready") == (200, {"ready": True})
    assert (await answer_to(server, context, "/v2/models/ocr/ready"))[1]["ready"] is True
    assert (await answer_to(server, context, "/v2"))[1]["name"] == "hansa-ocr"
    _, metadata = await answer_to(server, context, "/v2/models/ocr")
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]


async def test_another_model_or_path_or_method_does_not_exist(server: Server, context: ssl.SSLContext) -> None:
    for path in ("/v2/models/other", "/v2/models/other/ready", "/", "/v1/models"):
        status, answer = await answer_to(server, context, path)
        assert status == 404 and answer["error"]
    status, answer = await answer_to(server, context, "/v2/health/live", json={})
    assert status == 405 and answer["error"]


async def test_a_certificate_of_another_authority_does_not_get_in(pki: Pki, server: Server, tmp_path: Path) -> None:
    stranger = issue(tmp_path, "stranger", spiffe(CALLER), issue(tmp_path, "stranger-ca", []))
    with pytest.raises(RecognitionError) as caught:
        await recognise(server.url, pki.owner_ca.pem, stranger.cert_file, stranger.key_file, b"x")
    assert caught.value.status == 0


async def test_a_caller_without_certificate_does_not_get_in(pki: Pki, server: Server) -> None:
    bare = ssl.create_default_context(cadata=pki.owner_ca.pem.decode())
    with pytest.raises((aiohttp.ClientError, OSError)):
        await answer_to(server, bare, "/v2/health/live")


@pytest.mark.parametrize(
    "names",
    [
        spiffe("spiffe://nordavind.example/tenant/intruder"),
        spiffe(f"{CALLER}/below"),
        spiffe(CALLER) + spiffe("spiffe://nordavind.example/second"),
        [x509.DNSName("harbour.example")],
    ],
    ids=["another", "below", "two", "none"],
)
async def test_a_certificate_of_the_right_authority_with_another_identity_is_forbidden(
    pki: Pki, server: Server, tmp_path: Path, names: list[x509.GeneralName]
) -> None:
    other = issue(tmp_path, "other", names, pki.home_ca)
    with pytest.raises(RecognitionError, match="may not call") as caught:
        await recognise(server.url, pki.owner_ca.pem, other.cert_file, other.key_file, yard_image(1).jpeg)
    assert caught.value.status == 403


async def test_the_client_does_not_talk_to_an_impostor(pki: Pki, server: Server, tmp_path: Path) -> None:
    wrong_ca = issue(tmp_path, "impostor-ca", [])
    with pytest.raises(RecognitionError) as caught:
        await recognise(server.url, wrong_ca.pem, pki.caller.cert_file, pki.caller.key_file, b"x")
    assert caught.value.status == 0
    localhost = server.url.replace("127.0.0.1", "localhost")
    with pytest.raises(RecognitionError):
        await recognise(localhost, pki.owner_ca.pem, pki.caller.cert_file, pki.caller.key_file, b"x")


async def test_what_is_no_image_is_refused_by_field(server: Server, context: ssl.SSLContext) -> None:
    for content in (b"just words", yard_image(1).jpeg[:4_000], b""):
        status, answer = await answer_to_image(server, context, content)
        assert (status, answer["field"]) == (400, "inputs[0].data[0]")


async def test_a_small_file_with_a_huge_image_is_refused(server: Server, context: ssl.SSLContext) -> None:
    file = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(file, format="PNG", optimize=True)
    assert len(file.getvalue()) < 100_000
    status, answer = await answer_to_image(server, context, file.getvalue())
    assert status == 400
    assert "12000 x 12000" in answer["error"]


async def test_an_oversized_body_is_refused(server: Server, context: ssl.SSLContext) -> None:
    status, answer = await answer_to(server, context, "/v2/models/ocr/infer", data=b" " * (9 * 1024 * 1024))
    assert status == 413
    assert "8388608 bytes" in answer["error"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"input": []}, "input"),
        ({"inputs": [{"name": "picture", "shape": [1], "datatype": "BYTES", "data": [""]}]}, "inputs[0].name"),
        ({"inputs": [{"name": "image", "shape": [1], "datatype": "UINT8", "data": [0]}]}, "inputs[0].datatype"),
        ({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "content": [""]}]}, "inputs[0].content"),
        ({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["?"]}]}, "inputs[0].data[0]"),
    ],
)
async def test_a_wrong_field_is_refused_by_name(
    server: Server, context: ssl.SSLContext, document: dict[str, Any], field: str
) -> None:
    status, answer = await answer_to(server, context, "/v2/models/ocr/infer", json=document)
    assert (status, answer["field"]) == (400, field)
    assert answer["error"].startswith(field)


async def test_more_requests_at_once_than_may_wait_are_refused_and_the_rest_answered(
    server: Server, context: ssl.SSLContext
) -> None:
    image = yard_image(5).jpeg
    answers = await asyncio.gather(*(answer_to_image(server, context, image) for _ in range(14)))
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 8
    assert (await answer_to_image(server, context, image))[0] == 200


async def test_truncated_and_plain_text_connections_do_no_harm(server: Server, context: ssl.SSLContext) -> None:
    for content in (b"GET /v2 HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", os.urandom(256)):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(content)
    assert (await answer_to(server, context, "/v2/health/live"))[0] == 200


def test_sigterm_ends_cleanly_and_takes_the_ready_file_along(pki: Pki, tmp_path: Path) -> None:
    server = Server(pki, tmp_path)
    try:
        server.wait_until_ready()
        assert server.stop() == 0
    finally:
        server.process.kill()
    assert not server.ready_file.exists()
    assert server.log.read_text() == ""


def test_sigterm_while_the_model_loads_ends_cleanly(pki: Pki, tmp_path: Path) -> None:
    server = Server(pki, tmp_path)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.7)
        assert server.stop() in (0, -signal.SIGTERM)  # the latter before the handler stands
    finally:
        server.process.kill()
    assert not server.ready_file.exists()


def test_a_taken_port_is_said_and_ends_the_server(pki: Pki, server: Server, tmp_path: Path) -> None:
    second = Server(pki, tmp_path)
    second.process.kill()
    second.process.wait()
    environment = {**second.environment, "HANSA_LISTEN_PORT": str(server.port)}
    ended = subprocess.run(
        [sys.executable, "-m", "hansa_demo.ocr_server"], env=environment, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 78
    assert ended.stderr.startswith(b"hansa-ocr: ") and ended.stderr.count(b"\n") == 1


def test_a_missing_variable_is_said_and_ends_the_server() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "hansa_demo.ocr_server"], env={}, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 78
    assert b"HANSA_" in ended.stderr and ended.stderr.count(b"\n") == 1


def test_what_the_server_wrote_is_not_noise(server: Server) -> None:
    assert len(server.log.read_text().splitlines()) <= 3
