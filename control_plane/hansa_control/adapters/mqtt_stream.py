"""One agent's stream over MQTT: frames in, frames out, and an ``AgentLink`` between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import structlog

from hansa.errors import HansaError, ProtocolViolation
from hansa.mqtt_client import MqttLost
from hansa.numbered import Numbers
from hansa.v1.agent_service_pb2 import SessionRequest, SessionResponse
from hansa.v1.mqtt_pb2 import SessionFrame, StreamEnd
from hansa.v1.reason_pb2 import Reason as WireReason
from hansa_control.adapters.agent_link import AgentLink
from hansa_control.adapters.agent_stream import hold_stream
from hansa_control.adapters.grpc_calls import as_hansa_error
from hansa_control.adapters.task_scope import first_to_end
from hansa_control.application.ports import RefusalError, StoreFailed
from hansa_control.domain.model import Reason

QUEUED_FRAMES_MAX = 256

log = structlog.get_logger(__name__)

Publish = Callable[[bytes], Awaitable[None]]


class StreamKey(NamedTuple):
    """Which stream of which process of an agent, and which process of ours it speaks to."""

    boot_id: str
    stream: int
    operator_boot_id: str

    def frame(self, sequence: int = 0, acknowledged: int = 0) -> SessionFrame:
        return SessionFrame(
            boot_id=self.boot_id,
            stream=self.stream,
            operator_boot_id=self.operator_boot_id,
            sequence=sequence,
            acknowledged=acknowledged,
        )

    def end(self, reason: str, message: str) -> bytes:
        """What tells the agent that this stream is over."""
        frame = self.frame()
        frame.end.CopyFrom(StreamEnd(reason=WireReason.Value(f"REASON_{reason}"), message=message))
        return frame.SerializeToString()


class MqttStream:
    """``publish`` sends down to the zone. ``run`` ends with the stream."""

    def __init__(self, key: StreamKey, link: AgentLink, publish: Publish, former: MqttStream | None) -> None:
        self.key = key
        self.link = link
        self.numbers = Numbers()
        self._publish = publish
        self._former = former
        self._queue: asyncio.Queue[SessionRequest] = asyncio.Queue(QUEUED_FRAMES_MAX)
        self._lock = asyncio.Lock()
        self._ended = asyncio.Event()
        self._why: HansaError | None = None

    def take(self, frame: SessionFrame) -> None:
        """A frame of this stream; does not wait. What breaks the rules ends the stream."""
        try:
            if not self.numbers.take(frame.sequence, frame.acknowledged):
                return
            if not frame.HasField("request"):
                raise ProtocolViolation("an agent's frame carries a request")
            self._queue.put_nowait(frame.request)
        except HansaError as error:
            self.end(error)
        except asyncio.QueueFull:
            self.end(HansaError("LIMIT_EXCEEDED", f"more than {QUEUED_FRAMES_MAX} messages wait to be taken over"))

    def end(self, why: HansaError | None = None) -> None:
        """Ends the stream; the agent is told ``why`` unless it has gone by itself."""
        self._why = self._why or why
        self._ended.set()

    async def run(self) -> None:
        """Serves the agent until the stream ends; never raises."""
        try:
            hello = await self._queue.get()
            await first_to_end(hold_stream(self.link, hello, self._messages(), self), self._until_ended())
        except (RefusalError, HansaError, StoreFailed) as error:
            await self._tell(as_hansa_error(error))
        except MqttLost:
            log.debug("mqtt_stream_cut", zone=str(self.link.zone))
        except Exception:
            log.exception("defect", zone=str(self.link.zone))
            await self._tell(HansaError("INTERNAL", "a defect; the operator's log has more"))
        finally:
            self.link.close()
            if self._former is not None:
                self._former.end()

    async def send(self, *messages: SessionResponse) -> None:
        """What is sent together stays together, whichever of several tasks sends it."""
        async with self._lock:
            for message in messages:
                frame = self.key.frame(self.numbers.next(), self.numbers.taken)
                frame.response.CopyFrom(message)
                await self._publish(frame.SerializeToString())

    async def _messages(self) -> AsyncIterator[SessionRequest]:
        while True:
            yield await self._queue.get()

    async def _until_ended(self) -> None:
        await self._ended.wait()
        if self._why is not None:
            raise self._why

    async def _tell(self, refusal: HansaError) -> None:
        level = log.info if refusal.reason in (Reason.FENCED, Reason.UNAVAILABLE) else log.warning
        level("mqtt_stream_ended", zone=str(self.link.zone), reason=refusal.reason, message=refusal.message)
        try:
            await self._publish(self.key.end(refusal.reason, refusal.message))
        except MqttLost:
            log.debug("mqtt_stream_cut", zone=str(self.link.zone))
