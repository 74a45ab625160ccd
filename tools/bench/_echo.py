"""The floor: a bare grpc.aio server that returns what it is sent, with mutual TLS and nothing else. Run as a script.

    python _echo.py FOLDER       # with own.pem, own-key.pem, ca.pem and partner-ca.pem

It prints the line that a control plane logs when it listens.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

SERVICE = "hansa.bench.Echo"


async def _unary(request: bytes, context: Any) -> bytes:
    return request


async def _stream(requests: AsyncIterator[bytes], context: Any) -> None:
    async for request in requests:
        await context.write(request)


async def _serve(folder: Path) -> None:
    server = grpc.aio.server()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(_unary),
        "Stream": grpc.stream_stream_rpc_method_handler(_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    pairs = [((folder / "own-key.pem").read_bytes(), (folder / "own.pem").read_bytes())]
    trusted = (folder / "ca.pem").read_bytes() + (folder / "partner-ca.pem").read_bytes()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pairs, trusted, require_client_auth=True))
    await server.start()
    print(json.dumps({"event": "ready", "ports": {"echo": port}}), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
