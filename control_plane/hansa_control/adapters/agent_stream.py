"""Holds one agent's stream, whatever carries its messages: reads, pushes orders, ends when a newer one takes over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from hansa.v1.agent_service_pb2 import SessionRequest, SessionResponse
from hansa_control.adapters.agent_link import AgentLink
from hansa_control.adapters.task_scope import first_to_end, to_the_end
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason


class Carrier(Protocol):
    """The way to the agent."""

    async def send(self, *messages: SessionResponse) -> None: ...


async def hold_stream(
    link: AgentLink, hello: SessionRequest, messages: AsyncIterator[SessionRequest], carrier: Carrier
) -> None:
    """From the hello to the end of ``messages``; refusals are raised and end the stream."""
    await carrier.send(*await to_the_end(link.receive(hello)))
    await first_to_end(_read(link, messages, carrier), _push_orders(link, carrier), _until_superseded(link))


async def _read(link: AgentLink, messages: AsyncIterator[SessionRequest], carrier: Carrier) -> None:
    # What a message changes is in memory before anything is waited for, and is committed even if nobody waits any more.
    async for message in messages:
        await carrier.send(*await link.receive(message))


async def _push_orders(link: AgentLink, carrier: Carrier) -> None:
    signal = link.orders_signal
    seen = signal.version
    while True:
        orders = link.next_orders()
        if orders is not None:
            await carrier.send(orders)
        seen = await signal.wait(seen)


async def _until_superseded(link: AgentLink) -> None:
    await link.superseded.wait()
    raise RefusalError(Reason.FENCED, "a newer stream of this zone has taken over")
