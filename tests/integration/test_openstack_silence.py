"""A cloud that does not answer, or answers nonsense, on real sockets: told in time, and never taken for an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml
from hansa_agent.check import Level
from hansa_agent.config import LoadedConfig
from hansa_agent.config_openstack import OpenStackSection
from hansa_agent.inventory_openstack import OpenStackSource, Outside
from hansa_agent.openstack_api import OpenStackApi
from hansa_agent.openstack_check import check_cloud
from hansa_agent.ports import PlatformSilent
from hansa_agent.system import SystemClock, SystemRandom

CLOUD = """\
clouds:
  edge:
    auth: {{auth_url: "http://127.0.0.1:{port}/v3", username: a, password: hidden-word, project_name: p,
           user_domain_id: default, project_domain_id: default}}
    region_name: R
"""
NONSENSE = {
    "no JSON": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "elsewhere": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"\x00\x01\x02 no HTTP at all\r\n\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
}
ROOT = Path(__file__).resolve().parents[2]
Said = Callable[[asyncio.StreamWriter], None]


@contextlib.asynccontextmanager
async def keystone(say: Said) -> AsyncIterator[int]:
    """Something that listens; what it says to every request is ``say``'s."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            say(writer)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def api_at(port: int, folder: Path) -> OpenStackApi:
    file = folder / "clouds.yaml"
    file.write_text(CLOUD.format(port=port))
    return OpenStackApi(file, "edge", timeout_s=0.3)


async def test_keystone_that_never_answers_is_silent_in_time(tmp_path: Path) -> None:
    async with keystone(lambda _: None) as port, asyncio.timeout(10):
        with pytest.raises(PlatformSilent) as silent:
            await api_at(port, tmp_path).get("placement", "/resource_providers")
    assert "does not answer within" not in str(silent.value), "the thread has given up by itself and is free again"


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_trouble_that_says_so_and_takes_nothing_new(tmp_path: Path, answer: bytes) -> None:
    async with keystone(lambda writer: writer.write(answer)) as port, asyncio.timeout(10):
        section = OpenStackSection(clouds_file=tmp_path / "clouds.yaml", cloud="edge")
        outside = Outside(api_at(port, tmp_path), SystemClock(), SystemRandom())
        machine = await OpenStackSource(section, "nordavind/osl-1", outside).read()
    assert machine.unsound and machine.capacity.cpu_millis == 0 and not machine.pools
    assert 0 < len(machine.trouble) <= 200 and machine.trouble.isprintable()
    assert "hidden-word" not in machine.trouble


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_check_tells_nonsense_in_one_finding_and_no_secret(tmp_path: Path, answer: bytes) -> None:
    example = yaml.safe_load((ROOT / "agents" / "agent.openstack.example.yaml").read_text())
    example["openstack"]["timeout_s"] = 0.3
    (tmp_path / "agent.yaml").write_text(yaml.safe_dump(example))
    async with keystone(lambda writer: writer.write(answer)) as port, asyncio.timeout(20):
        api_at(port, tmp_path).close()
        (tmp_path / "clouds.yaml").chmod(0o600)
        (found,) = await check_cloud(LoadedConfig(tmp_path / "agent.yaml"), SystemClock())
    assert (found.level, found.subject) == (Level.PROBLEM, "cloud")
    assert found.message.isprintable() and "hidden-word" not in found.message


async def test_nobody_there_is_silence(tmp_path: Path) -> None:
    with pytest.raises(PlatformSilent, match="compute"):
        await api_at(1, tmp_path).get("compute", "/servers")


async def test_keystones_404_for_a_withdrawn_credential_finds_no_server_gone(tmp_path: Path) -> None:
    body = b'{"error": {"message": "Could not find Application Credential", "code": 404}}'
    head = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    async with keystone(lambda writer: writer.write(head + body)) as port, asyncio.timeout(10):
        answer = await api_at(port, tmp_path).call("GET", "compute", "/servers/1")
    assert answer.status == 401
    assert answer.words == "signing in: Could not find Application Credential (HTTP 404)"
