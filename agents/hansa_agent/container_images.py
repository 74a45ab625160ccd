"""Images by their digests alone, and from elsewhere only where the zone's owner wants that."""

from __future__ import annotations

from hansa_agent.artefacts import Artefact
from hansa_agent.config_container import ContainerSection
from hansa_agent.container_engine import Engine
from hansa_agent.container_socket import EngineRefused
from hansa_agent.ports import StartRefused


async def ensure_image(engine: Engine, artefact: Artefact, section: ContainerSection) -> None:
    """Returns once the engine has the image; raises ``StartRefused`` where it has not, or has another one."""
    try:
        found = await engine.image(artefact.image)
    except EngineRefused as refused:
        if not refused.is_absent:
            raise
        if not section.pull:
            message = f"{artefact.image} is not on this machine, and container.pull is false"
            raise StartRefused(message, permanent=False) from refused
        await engine.pull(artefact.image, section.pull_timeout_s)
        found = await engine.image(artefact.image)
    digests = [str(each).rpartition("@")[2] for each in found.get("RepoDigests") or []]
    if artefact.digest not in digests:
        message = f"the engine has {artefact.image} with digest {', '.join(digests) or 'none'}"
        raise StartRefused(message, permanent=True)
