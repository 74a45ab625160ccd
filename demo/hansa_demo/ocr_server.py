"""The demonstration's artefact: an inference server that reads numbers off yard-camera images.

It speaks the Open Inference Protocol, version 2, over HTTPS with mutual TLS, and takes everything that it needs to know
from the environment that an agent gives it (``hansa_agent.launch.ENVIRONMENT``). Start it with
``python -m hansa_demo.ocr_server``. It creates ``HANSA_READY_FILE`` once the model has answered and the port listens,
and ends at SIGTERM when the requests at hand are answered.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from aiohttp import web
from PIL import Image

from hansa_demo import ocr_protocol as protocol
from hansa_demo.ocr_model import ImageRefused, Line, OcrModel, decode_image
from hansa_demo.ocr_settings import Settings, SettingsError

BODY_BYTES_MAX = 8 * 1024 * 1024
QUEUE_LENGTH_MAX = 8
THREAD_COUNT = 1
SHUTDOWN_S = 5.0
RETRY_AFTER_S = 1
EXIT_SETTINGS = 78  # EX_CONFIG of sysexits.h

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class QueueFull(Exception):
    """As many requests wait as may."""


class ModelQueue:
    """Runs the model in one thread of its own, one image after the other, and refuses when too many wait."""

    def __init__(self, model: OcrModel, executor: ThreadPoolExecutor) -> None:
        self._model = model
        self._executor = executor
        self._waiting = 0

    async def read(self, image: bytes) -> tuple[tuple[Line, ...], protocol.Timing]:
        """Decodes and reads an image file; raises QueueFull and ImageRefused."""
        if self._waiting >= QUEUE_LENGTH_MAX:
            raise QueueFull
        self._waiting += 1
        asked = perf_counter()
        work = asyncio.get_running_loop().run_in_executor(self._executor, self._run, image, asked)
        # A caller that hangs up does not free the place: the thread still has the work before it.
        work.add_done_callback(self._leave)
        return await asyncio.shield(work)

    def _leave(self, work: asyncio.Future[tuple[tuple[Line, ...], protocol.Timing]]) -> None:
        self._waiting -= 1
        if not work.cancelled():
            work.exception()  # seen here, should nobody wait for it any more

    def _run(self, image: bytes, asked: float) -> tuple[tuple[Line, ...], protocol.Timing]:
        begun = perf_counter()
        lines = self._model.read(decode_image(image))
        ended = perf_counter()
        return lines, protocol.Timing(queue_ms=(begun - asked) * 1000, inference_ms=(ended - begun) * 1000)


QUEUE: web.AppKey[ModelQueue] = web.AppKey("queue", ModelQueue)
CLIENT_IDS: web.AppKey[frozenset[str]] = web.AppKey("client_ids", frozenset)


def build_app(queue: ModelQueue, client_ids: frozenset[str]) -> web.Application:
    """The application; only ``client_ids`` may call anything of it."""
    app = web.Application(middlewares=[answer_in_json, admit_known_clients], client_max_size=BODY_BYTES_MAX)
    app[QUEUE] = queue
    app[CLIENT_IDS] = client_ids
    app.router.add_get("/v2", get_server_metadata)
    app.router.add_get("/v2/health/live", get_live)
    app.router.add_get("/v2/health/ready", get_ready)
    app.router.add_get("/v2/models/{model}", get_model_metadata)
    app.router.add_get("/v2/models/{model}/ready", get_model_ready)
    app.router.add_post("/v2/models/{model}/infer", post_infer)
    return app


@web.middleware
async def answer_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every refusal into the protocol's ``{"error": ...}``."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return refusal(413, f"the body has over {BODY_BYTES_MAX} bytes")
    except web.HTTPException as error:
        return refusal(error.status, error.text or error.reason)
    except QueueFull:
        text = f"{QUEUE_LENGTH_MAX} requests wait already"
        return refusal(429, text, headers={"Retry-After": str(RETRY_AFTER_S)})
    except protocol.FieldError as error:
        return refusal(400, str(error), field=error.field)
    except ImageRefused as error:
        field = "inputs[0].data[0]"
        return refusal(400, f"{field}: {error}", field=field)
    except Exception as error:  # the model's: too little memory, for one; the next image may fit
        print(f"hansa-ocr: inference failed: {type(error).__name__}: {str(error)[:200]!r}", file=sys.stderr)
        return refusal(500, "the inference failed")


def refusal(status: int, text: str, *, field: str = "", headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": text, "field": field} if field else {"error": text}
    return web.json_response(body, status=status, headers=headers)


@web.middleware
async def admit_known_clients(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets nobody in whose certificate has not exactly one URI and that one of the identities allowed."""
    certificate = request.get_extra_info("peercert") or {}
    identities = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    if len(identities) != 1 or identities[0] not in request.app[CLIENT_IDS]:
        raise web.HTTPForbidden(text="the client certificate's identity may not call this instance")
    return await handler(request)


async def get_live(_request: web.Request) -> web.Response:
    return web.json_response({"live": True})


async def get_ready(_request: web.Request) -> web.Response:
    return web.json_response({"ready": True})


async def get_server_metadata(_request: web.Request) -> web.Response:
    return web.json_response(protocol.server_metadata())


async def get_model_metadata(request: web.Request) -> web.Response:
    require_model(request)
    return web.json_response(protocol.model_metadata())


async def get_model_ready(request: web.Request) -> web.Response:
    require_model(request)
    return web.json_response({"name": protocol.MODEL_NAME, "ready": True})


async def post_infer(request: web.Request) -> web.Response:
    require_model(request)
    asked = protocol.parse_infer_request(await request.read())
    lines, timing = await request.app[QUEUE].read(asked.image)
    return web.json_response(protocol.infer_response(asked, lines, timing))


def require_model(request: web.Request) -> None:
    if request.match_info["model"] != protocol.MODEL_NAME:
        raise web.HTTPNotFound(text=f"no such model; there is {protocol.MODEL_NAME}")


async def serve(settings: Settings) -> None:
    """Loads the model, listens, says that it is ready, and returns after SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    context = settings.ssl_context()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ocr") as executor:
        loading = asyncio.get_running_loop().run_in_executor(executor, OcrModel, THREAD_COUNT)
        queue = ModelQueue(await loading, executor)
        app = build_app(queue, settings.client_ids)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port, ssl_context=context).start()
            if not stop.is_set():
                settings.ready_file.touch()
            await stop.wait()
        finally:
            settings.ready_file.unlink(missing_ok=True)
            await runner.cleanup()


def main() -> int:
    """Exit status 0 after a clean end and 78 when the environment is wrong or the port cannot be had."""
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such an image is refused, which says it all
    try:
        settings = Settings.from_environment(os.environ)  # noqa: TID251 - this is where it is read
        asyncio.run(serve(settings))
    except (SettingsError, OSError) as error:
        print(f"hansa-ocr: {error}", file=sys.stderr)
        return EXIT_SETTINGS
    return 0


if __name__ == "__main__":
    sys.exit(main())
