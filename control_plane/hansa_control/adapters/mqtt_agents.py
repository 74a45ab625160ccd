"""Agents that can only speak MQTT: their frames from the broker into the same links as over gRPC, and back.

Whose frame it is, the topic says, and that only the zone's agent may write there, the broker's access rules. What the
broker loses, doubles or keeps for too long is found by the numbers in the frames (``hansa.numbered``); a last will ends
the stream that it names, which makes the zone SILENT and nothing worse: only time makes it LOST.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from google.protobuf.message import DecodeError

from hansa.errors import HansaError
from hansa.mqtt_client import MqttClient, MqttLost
from hansa.mqtt_topics import Way, ZoneTopic
from hansa.v1.mqtt_pb2 import SessionFrame
from hansa_control.adapters.agent_link import AgentLinks
from hansa_control.adapters.mqtt_stream import MqttStream, StreamKey
from hansa_control.domain.model import ZoneId

FAREWELL_S = 1.0
STRANGERS_TOLD_MAX = 64
BOOT_ID_LENGTH_MAX = 64

log = structlog.get_logger(__name__)


class MqttAgents:
    """The streams of all zones over one connection to the broker. ``boot_id`` is new with every start of ours."""

    def __init__(self, links: AgentLinks, operator: str, boot_id: str) -> None:
        self._links = links
        self._operator = operator
        self._boot_id = boot_id
        self._client: MqttClient | None = None
        self._streams: dict[str, MqttStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

    def begin(self, client: MqttClient) -> None:
        """The broker is reached."""
        self._client = client

    async def end(self, why: HansaError | None) -> None:
        """Ends every stream; the agents are told ``why``, where there is a broker yet to tell them."""
        for stream in self._streams.values():
            stream.end(why)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=FAREWELL_S)
        for task in self._tasks:
            task.cancel()
        self._streams.clear()
        self._client = None

    def take(self, zone: str, payload: bytes) -> None:
        """What came from the topic of a zone; does not wait, and nothing that comes does harm."""
        try:
            frame = SessionFrame.FromString(payload)
        except DecodeError:
            self._pass_over(zone, "unreadable")
            return
        if not 0 < len(frame.boot_id) <= BOOT_ID_LENGTH_MAX:
            self._pass_over(zone, "unreadable")
            return
        stream = self._streams.get(zone)
        if stream is not None and (frame.boot_id, frame.stream) == (stream.key.boot_id, stream.key.stream):
            self._take_known(stream, frame)
        elif frame.HasField("end"):
            self._pass_over(zone, "late")
        elif frame.sequence == 1 and frame.request.HasField("hello"):
            self._take_hello(zone, frame, stream)
        else:
            self._tell_stranger(zone, frame)

    @property
    def stream_count(self) -> int:
        return len(self._streams)

    def _take_known(self, stream: MqttStream, frame: SessionFrame) -> None:
        if frame.HasField("end"):
            log.info("mqtt_agent_ended", zone=str(stream.link.zone), message=frame.end.message[:200])
            stream.end()
            return
        doubled = stream.numbers.doubled_count
        stream.take(frame)
        self.counts["doubled"] += stream.numbers.doubled_count - doubled

    def _take_hello(self, zone: str, frame: SessionFrame, former: MqttStream | None) -> None:
        if former is not None and frame.boot_id == former.key.boot_id and frame.stream < former.key.stream:
            self._pass_over(zone, "late")
            return
        key = StreamKey(frame.boot_id, frame.stream, self._boot_id)
        link = self._links.open(ZoneId(self._operator, zone))
        stream = MqttStream(key, link, partial(self._publish, zone), former)
        self._streams[zone] = stream
        stream.take(frame)
        self._spawn(stream.run, partial(self._forget, zone, stream))

    def _tell_stranger(self, zone: str, frame: SessionFrame) -> None:
        """A stream that was begun with somebody else, as before we were started anew: its agent is to begin another."""
        self._pass_over(zone, "strange")
        if len(self._tasks) > len(self._streams) + STRANGERS_TOLD_MAX:
            return
        key = StreamKey(frame.boot_id, frame.stream, self._boot_id)
        content = key.end("UNAVAILABLE", "the operator does not know this stream; begin another")
        self._spawn(partial(self._try_publish, zone, content))

    def _pass_over(self, zone: str, what: str) -> None:
        self.counts[what] += 1
        log.debug("mqtt_frame_passed_over", zone=zone, what=what)

    def _forget(self, zone: str, stream: MqttStream) -> None:
        if self._streams.get(zone) is stream:
            del self._streams[zone]

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]], done: Callable[[], None] = lambda: None) -> None:
        task = asyncio.ensure_future(work())
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            done()

        task.add_done_callback(ended)

    async def _publish(self, zone: str, content: bytes) -> None:
        if self._client is None:
            raise MqttLost("the broker is not reached")
        await self._client.publish(str(ZoneTopic(self._operator, zone, Way.DOWN)), content)

    async def _try_publish(self, zone: str, content: bytes) -> None:
        try:
            await self._publish(zone, content)
        except MqttLost:
            log.debug("mqtt_stream_cut", zone=zone)
