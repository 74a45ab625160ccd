"""The way to an API server: by a kubeconfig file or as a pod's service account, made anew when its token is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from hansa_agent.kubernetes.words import printable

Connect = Callable[[], Awaitable[Any]]
"""Makes a ``kubernetes.aio.client.ApiClient``."""


class ApiSilent(Exception):
    """No answer, or none that can be read: nobody knows whether the request was carried out."""


def connector(kubeconfig: Path | None, context: str) -> Connect:
    """Connects by a kubeconfig file, or as the pod's service account where there is none."""

    async def connect() -> Any:
        from kubernetes.aio import client
        from kubernetes.aio import config as reading

        config: Any = reading
        settings = client.Configuration()
        try:
            if kubeconfig is None:
                config.load_incluster_config(client_configuration=settings)
            else:
                chosen = {"context": context or None, "client_configuration": settings}
                await config.load_kube_config(config_file=str(kubeconfig), **chosen)
            return client.ApiClient(settings)
        except Exception as error:
            # What a kubeconfig leads to, plugins included, fails in more ways than its library tells.
            raise ApiSilent(printable(f"no way to the cluster: {error or type(error).__name__}")) from error

    return connect


class Clients:
    """One client at a time for all requests; one that is replaced is closed once its last request has ended."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._current: Any = None
        self._users: Counter[Any] = Counter()
        self._connecting = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def lent(self, timeout_s: float) -> AsyncGenerator[Any, None]:
        """The client, for one request; raises ``ApiSilent``."""
        async with asyncio.timeout(timeout_s), self._connecting:
            if self._current is None:
                self._current = await self._connect()
            client = self._current
        self._users[client] += 1
        try:
            yield client
        finally:
            self._users[client] -= 1
            if not self._users[client] and client is not self._current:
                del self._users[client]
                await client.close()

    def replace(self, client: Any) -> None:
        """The next request gets another client than ``client``: certificates and tokens are read anew."""
        if self._current is client:
            self._current = None

    async def close(self) -> None:
        """Ends the connections; the next request makes new ones."""
        client, self._current = self._current, None
        if client is not None and not self._users[client]:
            await client.close()
