"""What the inference server is told through its environment, read once."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(ValueError):
    """A variable is missing or wrong; the text names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to listen, with which certificate, and who may call."""

    host: str
    port: int
    tls_cert: Path
    tls_key: Path
    client_ca: Path
    client_ids: frozenset[str]
    ready_file: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Reads the ``HANSA_*`` variables that an agent sets; raises SettingsError.

        Without an identity in ``HANSA_CLIENT_IDS`` nobody could call, so that is an error, too.
        """
        client_ids = frozenset(_required(environment, "HANSA_CLIENT_IDS").replace(" ", "").split(",")) - {""}
        if not client_ids:
            raise SettingsError("HANSA_CLIENT_IDS names nobody, so nobody could call")
        return cls(
            host=_required(environment, "HANSA_LISTEN_HOST"),
            port=_port(environment),
            tls_cert=_file(environment, "HANSA_TLS_CERT"),
            tls_key=_file(environment, "HANSA_TLS_KEY"),
            client_ca=_file(environment, "HANSA_CLIENT_CA"),
            client_ids=client_ids,
            ready_file=Path(_required(environment, "HANSA_READY_FILE")),
        )

    def ssl_context(self) -> ssl.SSLContext:
        """TLS 1.3 with a client certificate from the authority demanded; raises SettingsError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"HANSA_TLS_CERT and HANSA_TLS_KEY cannot be used: {error}") from error
        try:
            context.load_verify_locations(cafile=self.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"HANSA_CLIENT_CA cannot be used: {error}") from error
        return context


def _required(environment: Mapping[str, str], name: str) -> str:
    if not (value := environment.get(name, "")):
        raise SettingsError(f"{name} is not set")
    return value


def _port(environment: Mapping[str, str]) -> int:
    text = _required(environment, "HANSA_LISTEN_PORT")
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise SettingsError(f"HANSA_LISTEN_PORT is {text!r}; expected 1 to 65535")
    return int(text)


def _file(environment: Mapping[str, str], name: str) -> Path:
    path = Path(_required(environment, name))
    if not path.is_file():
        raise SettingsError(f"{name} is {path}, which is no file")
    return path
