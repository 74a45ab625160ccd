"""Options of every channel and server, in one place, since both ends must agree on them."""

from __future__ import annotations

from collections.abc import Sequence

REQUEST_ID_KEY = "hansa-request-id"
"""Metadata under which a call carries its id."""

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
KEEPALIVE_MS = 2_000
KEEPALIVE_TIMEOUT_MS = 2_000
RECONNECT_BACKOFF_MS_MAX = 1_000
WINDOW_BYTES = 1024 * 1024
METADATA_BYTES_MAX = 16 * 1024
HANDSHAKE_TIMEOUT_MS = 5_000

_COMMON: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    # A stream may carry a mebibyte before it waits, whatever the distance; measuring how much would be right takes a
    # ping for every message that comes after a pause, a tenth of what a sign of life costs.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
)


CONNECTION_SHARE = 8
"""One connection may have an eighth of a listener's calls and streams under way; it waits with more."""


def server_options(concurrent_calls_max: int) -> Sequence[tuple[str, int]]:
    """Bounded messages and handshakes; dead connections noticed within four seconds; callers may ping once a second.

    No connection fills a listener alone, not even with calls that are begun and never asked, which no handler sees.
    """
    return (
        *_COMMON,
        ("grpc.max_concurrent_streams", max(1, concurrent_calls_max // CONNECTION_SHARE)),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", 900),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.so_reuseport", 0),
    )


def channel_options(expected_host: str) -> Sequence[tuple[str, int | str]]:
    """``expected_host`` is the name that the server's certificate must carry, whatever address is dialled."""
    return (
        *_COMMON,
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # A name that could not be resolved is asked for again after a second, not after gRPC's thirty.
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_BACKOFF_MS_MAX),
        ("grpc.ssl_target_name_override", expected_host),
    )
