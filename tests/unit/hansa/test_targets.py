"""One address, or those of an operator's replicas."""

from __future__ import annotations

import re

import pytest

from hansa.targets import target_of


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("127.0.0.1:7443", "127.0.0.1:7443"),
        ("control.nordavind.example:7443", "control.nordavind.example:7443"),
        ("[::1]:7443", "[::1]:7443"),
        ("192.0.2.1:7443,192.0.2.2:7444", "ipv4:192.0.2.1:7443,192.0.2.2:7444"),
        ("[2001:db8::1]:7443,[2001:db8::2]:7443", "ipv6:[2001:db8::1]:7443,[2001:db8::2]:7443"),
    ],
)
def test_what_is_dialled_is_one_address_or_a_list_of_one_family(endpoint: str, target: str) -> None:
    assert target_of(endpoint) == target


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("127.0.0.1", "'127.0.0.1' is not host:port, for example 127.0.0.1:7443"),
        ("127.0.0.1:0", "'127.0.0.1:0' is not host:port"),
        ("127.0.0.1:70000", "is not host:port"),
        ("https://127.0.0.1:7443", "is not host:port"),
        ("192.0.2.1:7443,", "'' is not host:port"),
        ("192.0.2.1:7443, 192.0.2.2:7443", "' 192.0.2.2:7443' is not host:port"),
        ("192.0.2.1:7443,[::1]:7443", "all of IPv4 or all of IPv6"),
        ("a.example:7443,b.example:7443", "several addresses are IP addresses; a name may resolve to several"),
        ("", "'' is not host:port"),
    ],
)
def test_anything_else_is_refused_and_says_what_is_wrong(endpoint: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        target_of(endpoint)
