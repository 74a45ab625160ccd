"""Calls to OpenStack's APIs, off the event loop, each with a time and a size that it may take.

The SDK's session does what is tedious (clouds.yaml, catalogue, tokens and their renewal upon 401); what is asked and
what an answer means stays here, because only the caller knows whether a call that was lost may be repeated.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hansa_agent.config_yaml import ConfigError
from hansa_agent.ports import Clock, PlatformSilent

ANSWER_BYTES_MAX = 32 << 20
_CHUNK_BYTES = 1 << 18
WORDS_MAX = 200
RETRY_AFTER_S_MAX = 120.0
THREADS = 4
_UNAUTHORIZED = 401
MICROVERSIONS = {"placement": "1.29", "compute": "2.79"}
"""The oldest that have what is asked here: Placement and Nova of Train (2019) and newer."""
BUSY = (413, 429, 503)
"""Come back later: 413 is how Nova said 429 (Too Many Requests) in former times."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an API said. ``retry_after_s`` is 0 unless it named a time; ``date`` is the header of that name."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_after_s: float = 0.0
    date: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def words(self) -> str:
        """What is wrong, in the platform's own words, in one line."""
        return printable(_message(self.body) or f"status {self.status}")


@dataclass(frozen=True, slots=True)
class Signed:
    """Who has signed in, where, and with which roles; ``credential`` is an application credential's id, or empty."""

    user: str
    user_id: str
    project: str
    roles: tuple[str, ...]
    credential: str = ""


class CloudBusy(PlatformSilent):
    """It answers that it has no time now; ``retry_after_s`` is when to ask again, 0 if it did not say."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CloudRefused(Exception):
    """It answered, and the answer is no; ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OpenStackApi:
    """One cloud of a clouds.yaml, seen by one user."""

    def __init__(self, clouds_file: Path, cloud: str, timeout_s: float) -> None:
        """Reads ``clouds_file``; raises ``ConfigError``, also where the SDK is not installed. Connects to nothing."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK's own plans, of no use to who runs an agent
            self._region = _region(clouds_file, cloud)
            self._session = self._region.get_session()
        self._session.timeout = timeout_s  # what signing in may take; calls name their own
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="openstack")

    async def signed(self) -> Signed:
        """Signs in; raises ``PlatformSilent`` or ``CloudRefused``."""
        try:
            async with asyncio.timeout(3 * self._timeout_s):
                return await asyncio.to_thread(self._sign_in)
        except TimeoutError as error:
            raise PlatformSilent(f"identity does not answer within {3 * self._timeout_s:g} s") from error

    async def call(self, method: str, service: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Whatever the API answers; raises ``PlatformSilent`` if nothing came: then nobody knows whether it was done.

        A user or password that Keystone does not take is an answer, too: its 401.
        """
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._pool, self._ask, method, service, path, body)
        try:
            # Signing in may come first, and each of the two may take its time.
            async with asyncio.timeout(3 * self._timeout_s):
                return await asyncio.shield(asked)
        except TimeoutError as error:
            raise PlatformSilent(f"{service} does not answer within {3 * self._timeout_s:g} s") from error

    async def get(self, service: str, path: str) -> Mapping[str, Any]:
        """The body of what is there; raises ``PlatformSilent``, ``CloudBusy`` or ``CloudRefused``."""
        answer = await self.call("GET", service, path)
        if answer.ok:
            return answer.body
        if answer.status in BUSY or answer.status >= 500:
            raise CloudBusy(f"{service} answers {answer.status}: {answer.words}"[:WORDS_MAX], answer.retry_after_s)
        raise CloudRefused(answer.status, f"{service} answers {answer.status}: {answer.words}"[:WORDS_MAX])

    def close(self) -> None:
        """Lets go of the threads; what they are at ends by its own timeout."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _sign_in(self) -> Signed:
        import requests
        from keystoneauth1 import exceptions as refused

        try:
            told = self._session.auth.get_access(self._session)
        except refused.HttpError as error:
            answer = _not_signed_in(error)
            raise CloudRefused(answer.status, answer.words) from error
        except (refused.ClientException, requests.RequestException, OSError, ValueError) as error:
            raise PlatformSilent(printable(f"identity: {error}")) from error
        return Signed(
            printable(told.username or ""),
            str(told.user_id),
            printable(told.project_name or ""),
            tuple(sorted(map(printable, told.role_names))),
            str(told.application_credential_id or ""),
        )

    def _ask(self, method: str, service: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        import requests
        from keystoneauth1 import exceptions as refused

        try:
            response = self._session.request(
                path,
                method,
                json=body,
                endpoint_filter={"service_type": service, **self._where()},
                endpoint_override=self._region.get_endpoint(service),
                microversion=MICROVERSIONS.get(service),
                headers={"Accept": "application/json"},
                timeout=self._timeout_s,
                raise_exc=False,
                stream=True,
            )
            return _answer(response)
        except refused.HttpError as error:
            return _not_signed_in(error)
        except refused.AuthorizationFailure as error:
            return Answer(_UNAUTHORIZED, {"error": {"message": str(error)}})
        except (refused.ClientException, requests.RequestException, OSError, ValueError) as error:
            raise PlatformSilent(printable(f"{service}: {error}")) from error

    def _where(self) -> dict[str, str]:
        region, interface = self._region.region_name, self._region.get_interface()
        found = {"region_name": region, "interface": interface}
        return {key: value for key, value in found.items() if value}


class Pace:
    """Leaves time between calls, so that asking costs the cloud no more than its share."""

    def __init__(self, clock: Clock, per_second_max: int) -> None:
        self._clock = clock
        self._gap_ms = 1_000 / per_second_max
        self._due_ms = 0.0

    async def turn(self) -> None:
        """Waits until the next call may be made."""
        now_ms = self._clock.now().monotonic_ms
        self._due_ms = max(self._due_ms + self._gap_ms, now_ms)
        if self._due_ms > now_ms + 1:
            await self._clock.sleep((self._due_ms - now_ms) / 1_000)


def printable(text: str) -> str:
    """One line of at most ``WORDS_MAX`` printable characters."""
    line = " ".join(text.split())
    return "".join(char for char in line if char.isprintable())[:WORDS_MAX]


def _region(clouds_file: Path, cloud: str) -> Any:
    try:
        from openstack.config import OpenStackConfig
        from openstack.exceptions import ConfigException
    except ImportError as error:
        raise ConfigError(["openstack: the SDK is not installed: pip install 'hansa[openstack]'"]) from error
    if not clouds_file.is_file():
        raise ConfigError([f"openstack.clouds_file: {clouds_file} is no file"])
    try:
        config = OpenStackConfig(config_files=[str(clouds_file)], secure_files=[], vendor_files=[], load_envvars=False)
        return config.get_one(cloud=cloud)
    except ConfigException as error:
        raise ConfigError([f"openstack.cloud: {error}"]) from error


def _not_signed_in(error: Any) -> Answer:
    """What Keystone says is never what the asked API says: its 404 for a withdrawn credential finds no server gone."""
    status = int(error.http_status or 500)
    said = status if status in BUSY or status >= 500 else _UNAUTHORIZED
    return Answer(said, {"error": {"message": f"signing in: {error.message}"}}, float(error.retry_after or 0))


def _answer(response: Any) -> Answer:
    content = b""
    with response:
        for chunk in response.iter_content(_CHUNK_BYTES):
            content += chunk
            if len(content) > ANSWER_BYTES_MAX:
                raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    date = printable(response.headers.get("Date", ""))
    return Answer(response.status_code, _body(content, response.status_code), _seconds(response.headers), date)


def _body(content: bytes, status: int) -> Mapping[str, Any]:
    """The object in an answer. An answer that is none is broken where it says that all went well."""
    try:
        body = json.loads(content or b"{}")
    except ValueError:
        if 200 <= status < 300:
            raise
        return {}
    if isinstance(body, dict):
        return body
    raise ValueError("an answer that is no JSON object")


def _seconds(headers: Mapping[str, str]) -> float:
    """Retry-After (RFC 9110, 10.2.3) in seconds; a date, which OpenStack does not send, counts as none."""
    text = headers.get("Retry-After", "").strip()
    return min(float(text), RETRY_AFTER_S_MAX) if text.isascii() and text.isdecimal() else 0.0


def _message(body: Mapping[str, Any]) -> str:
    """Each service wraps it otherwise: Placement in a list, Nova, Keystone and Neutron in an object by its kind."""
    errors = body.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("detail") or errors[0].get("title") or "")
    inner = next((value for value in body.values() if isinstance(value, dict) and "message" in value), {})
    return str(inner.get("message", ""))
