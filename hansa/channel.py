"""A connection to an operator, as app teams open it."""

from __future__ import annotations

from typing import Any

import grpc

from hansa.profile import Profile
from hansa.targets import target_of

_DELAY_FIRST_MS, _DELAY_MAX_MS = 100, 2_000
_CONNECT_MS = 2_000
"""What TCP, TLS and the first frame may take together, whatever gRPC calls it: operators may be far away, or busy."""
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", _DELAY_FIRST_MS),
    ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", _DELAY_MAX_MS),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


def open_channel(profile: Profile) -> grpc.aio.Channel:
    """A connection with mutual TLS; raises HansaError INVALID_FIELD if a file of the profile cannot be read."""
    ca, certificate, key = profile.read_credentials()
    credentials = grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)
    options: list[tuple[str, Any]] = list(_CHANNEL_OPTIONS)
    if profile.server_name:
        options.append(("grpc.ssl_target_name_override", profile.server_name))
    return grpc.aio.secure_channel(target_of(profile.endpoint), credentials, options=options)
