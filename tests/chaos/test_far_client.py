"""A client and its operator at the two ends of a long way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from fault_proxy import FaultProxy
from hansa_control.adapters.authority import Role, Subject, Validity, control_plane_host, issue, new_authority
from hansa_demo.prepare import now_ms

from hansa.channel import open_channel
from hansa.profile import Profile

DELAY_MS = 120
DOMAIN = "nordavind.hansa.example"


@pytest.mark.timeout(60)
async def test_an_operator_a_quarter_of_a_second_away_is_reached_at_the_first_attempt(tmp_path: Path) -> None:
    valid = Validity.of_days(now_ms(), 1)
    authority = new_authority("nordavind", DOMAIN, valid)
    own = issue(authority, Subject(Role.CONTROL_PLANE, ""), valid)
    client = issue(authority, Subject(Role.TENANT, "harbour"), valid)
    files = [tmp_path / name for name in ("ca.pem", "client.pem", "key.pem")]
    for file, content in zip(files, (authority.cert_pem, client.cert_pem, client.key_pem), strict=True):
        file.write_bytes(content)
    server = grpc.aio.server()
    credentials = grpc.ssl_server_credentials([(own.key_pem, own.cert_pem)], authority.cert_pem, True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    async with FaultProxy(("127.0.0.1", port)) as proxy:
        proxy.slow(delay_ms=DELAY_MS)
        profile = Profile(f"127.0.0.1:{proxy.port}", "harbour", *files, control_plane_host(DOMAIN))
        async with open_channel(profile) as channel, asyncio.timeout(30):
            await channel.channel_ready()
        assert proxy.accepted_count == 1
    await server.stop(0)
