"""A real OpenStack for tests, and what a test does with it as its administrator."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud_processes import missing
from cloud_settings import PASSWORD

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(os.environ.get("HANSA_OPENSTACK_VENV", ROOT / "build" / "openstack-venv"))
START_S, ANSWER_S = 240.0, 60.0
MICROVERSIONS = {"placement": "1.39", "compute": "2.79"}


class Cloud:
    """Keystone and Placement, and with ``hosts`` everything that boots servers.

    It begins to start at once; ``await_start`` comes before everything else. End it with ``end``.
    """

    def __init__(self, *hosts: str) -> None:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"hansa-openstack-{os.getpid()}-"))
        self.folder.chmod(0o755)
        self.hosts = hosts
        command = [sys.executable, "cloud_keeper.py", str(self.folder), str(VENV), "full" if hosts else "min", *hosts]
        self._keeper = subprocess.Popen(
            command, cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._session: Any = None
        self._defined: set[str] = set()

    def await_start(self) -> None:
        """Waits until everything answers."""
        told = self._answer(START_S)
        self.auth: dict[str, str] = told["auth"]
        self.ports: dict[str, int] = told["ports"]
        self.steps: dict[str, float] = told["steps"]

    def end(self) -> None:
        """Ends every process and removes the data."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(ANSWER_S)

    def kill(self, name: str) -> None:
        """Kills a process, for example ``compute:edge-1`` or ``wsgi:placement``."""
        self._tell("kill", name)

    def start(self, name: str) -> None:
        """Starts a process that was killed."""
        self._tell("start", name)

    def clouds_file(self, path: Path, *, as_admin: bool = False, **changes: Any) -> Path:
        """A clouds.yaml with the cloud ``edge``: the agent's user in its project; ``changes`` are the cloud's."""
        auth: dict[str, Any] = {key: value for key, value in self.auth.items() if key != "region_name"}
        if not as_admin:
            auth |= {"username": "agent", "password": PASSWORD, "project_name": "edge"}
        cloud = {"auth": auth, "region_name": "RegionOne", "interface": "public", **changes}
        path.write_text(yaml.safe_dump({"clouds": {"edge": cloud}}))
        return path

    # --- as the administrator ---

    def ask(self, method: str, service: str, path: str, body: Any = None, status: int | None = None) -> Any:
        """Calls an API; the answer's body. Anything but success, or ``status``, fails the test."""
        if self._session is None:
            import openstack

            self._session = openstack.connect(**self.auth).session
        response = self._session.request(
            path,
            method,
            json=body,
            endpoint_filter={"service_type": service, "interface": "public"},
            microversion=MICROVERSIONS.get(service),
            raise_exc=False,
        )
        expected = response.ok if status is None else response.status_code == status
        assert expected, f"{method} {service} {path}: {response.status_code} {response.text[:500]}"
        return response.json() if response.content else {}

    def upload(self, path: str, content: bytes) -> None:
        """The content of an image."""
        where = {"service_type": "image", "interface": "public"}
        headers = {"Content-Type": "application/octet-stream"}
        assert self._session.put(path, endpoint_filter=where, data=content, headers=headers).ok

    def provider(self, parent: str | None = None, name: str = "") -> str:
        """A new resource provider."""
        made = str(uuid.uuid4())
        body = {"name": name or made, "uuid": made, **({"parent_provider_uuid": parent} if parent else {})}
        self.ask("POST", "placement", "/resource_providers", body)
        return made

    def stock(self, provider: str, **inventories: Mapping[str, Any]) -> None:
        """These are all inventories of a provider from now on."""
        self._define("resource_classes", *inventories)
        body = {"resource_provider_generation": self.generation(provider), "inventories": inventories}
        self.ask("PUT", "placement", f"/resource_providers/{provider}/inventories", body)

    def traits(self, provider: str, *traits: str) -> None:
        """These are all traits of a provider from now on."""
        self._define("traits", *traits)
        body = {"resource_provider_generation": self.generation(provider), "traits": list(traits)}
        self.ask("PUT", "placement", f"/resource_providers/{provider}/traits", body)

    def hold(self, consumer: str, held: Mapping[str, Mapping[str, int]], status: int | None = None) -> None:
        """A consumer holds so much of providers, by provider and class; it must hold nothing yet."""
        body = {
            "allocations": {provider: {"resources": dict(resources)} for provider, resources in held.items()},
            "project_id": "somebody",
            "user_id": "somebody",
            "consumer_generation": None,
            "consumer_type": "INSTANCE",
        }
        self.ask("PUT", "placement", f"/allocations/{consumer}", body, status)

    def release(self, consumer: str) -> None:
        """A consumer holds nothing any more."""
        self.ask("DELETE", "placement", f"/allocations/{consumer}")

    def _define(self, what: str, *names: str) -> None:
        for path in (f"/{what}/{name}" for name in names if name.startswith("CUSTOM_")):
            if path not in self._defined:
                self.ask("PUT", "placement", path)
                self._defined.add(path)

    def generation(self, provider: str) -> int:
        return int(self.ask("GET", "placement", f"/resource_providers/{provider}")["generation"])

    def remove_provider(self, provider: str) -> None:
        """Removes a provider that nobody holds anything of."""
        self.ask("DELETE", "placement", f"/resource_providers/{provider}")

    def until(self, condition: Callable[[], Any], within_s: float = 60.0) -> Any:
        """Waits until ``condition`` gives something true, and returns it."""
        deadline = time.monotonic() + within_s
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {within_s:g} s"
            time.sleep(0.1)
        return found

    # --- the keeper ---

    def _tell(self, do: str, name: str) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps({"do": do, "name": name}).encode() + b"\n")
        self._keeper.stdin.flush()
        self._answer(ANSWER_S)

    def _answer(self, within_s: float) -> dict[str, Any]:
        assert self._keeper.stdout is not None
        ready, _, _ = select.select([self._keeper.stdout], [], [], within_s)
        line = self._keeper.stdout.readline() if ready else b""
        content: dict[str, Any] = json.loads(line) if line else {"failed": f"no answer within {within_s:g} s"}
        if "failed" in content:
            self.end()
            pytest.fail(f"OpenStack: {content['failed']}")
        return content


def need(*, full: bool) -> None:
    """Skips the test, loudly, where the cloud cannot be started; with CI=true that is a failure."""
    problem = missing(VENV, full=full)
    if problem and os.environ.get("CI") == "true":
        pytest.fail(problem)
    if problem:
        pytest.skip(f"NOT TESTED: {problem}")


def can_start(*, full: bool) -> bool:
    """Whether everything is there."""
    return not missing(VENV, full=full)


def _sweep() -> None:
    """Removes what the keepers of tests left that were killed together with them."""
    for folder in Path(tempfile.gettempdir()).glob("hansa-openstack-*-*"):
        owner = folder.name.split("-")[2]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)
