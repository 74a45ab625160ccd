"""The clients of a cluster: one at a time, and none is taken from under a request."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_agent.kubernetes.connection import ApiSilent, Clients, connector


class Client:
    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


async def make() -> Client:
    return Client()


async def test_client_that_is_replaced_is_closed_once_its_last_request_has_ended() -> None:
    clients = Clients(make)
    async with clients.lent(1.0) as first:
        async with clients.lent(1.0) as again:
            assert again is first
            clients.replace(first)
        assert not first.closed, "the other request still uses it"
        async with clients.lent(1.0) as second:
            assert second is not first
    assert first.closed and not second.closed
    await clients.close()
    assert second.closed


async def test_late_word_about_a_former_client_does_not_replace_the_present_one() -> None:
    clients = Clients(make)
    async with clients.lent(1.0) as first:
        clients.replace(first)
    async with clients.lent(1.0) as second:
        clients.replace(first)
    async with clients.lent(1.0) as third:
        assert third is second


@pytest.mark.parametrize("content", ["", "[", "apiVersion: v1\nkind: Config\n"])
async def test_kubeconfig_that_cannot_be_used_is_silence_with_its_reason(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(ApiSilent, match=r"no way to the cluster: ."):
        await connector(path, "")()


async def test_pod_without_a_service_account_is_silence_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ApiSilent, match=r"no way to the cluster: Service host/port is not set\."):
        await connector(None, "")()
