"""Whether an instance answers where it was told to listen."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl

CONNECT_TIMEOUT_S = 1.0
LINGER_S = 0.05


async def answers(host: str, port: int, *, has_tls: bool) -> bool:
    """Whether a server is there. A connection alone says little where a proxy of the engine takes it first.

    With TLS its handshake must come to an end, or to an alert, which only a server sends; without, the connection
    must stand for ``LINGER_S``.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=_anybody() if has_tls else None)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, TimeoutError, EOFError):
        return False
    try:
        return has_tls or await _stands(reader)
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await writer.wait_closed()


async def _stands(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(LINGER_S):
            return bool(await reader.read(1))
    except TimeoutError:
        return True
    except OSError:
        return False


@functools.cache
def _anybody() -> ssl.SSLContext:
    """Who answers is not asked here: callers verify the instance, the agent only wants to know that it is up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
