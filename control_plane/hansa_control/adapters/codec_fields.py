"""Checks of single fields: what comes from outside becomes a value, or is refused with the dotted path of its field.

Every function takes the raw value and its path in the message, returns the value, and raises ``RefusalError`` with
``INVALID_FIELD``, the path and one sentence for a person, with the nearest valid value where there is one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence, Sized
from enum import StrEnum
from functools import cache, lru_cache
from typing import Generic, Protocol, TypeVar

import pycountry

from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason, WorkloadId, ZoneId

NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_NETWORK_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?")
_IDENTITY = re.compile(r"[a-z0-9]([a-z0-9-]{0,78}[a-z0-9])?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BOOT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,62}")
_VENDOR = re.compile(r"[a-z][a-z0-9.-]{0,62}")
_MIG_PROFILE = re.compile(r"[0-9]{1,2}g\.[0-9]{1,4}gb(\+[a-z.]{1,16})?")
_LAW = re.compile(r"[A-Z0-9][A-Z0-9.-]{0,62}")
_PERCENT = re.compile(r"(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)")
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.+_ -]{0,61}[A-Za-z0-9.+])?")
_PRESET = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?(@[0-9]{4}-[0-9]{2}-[0-9]{2}( sha256:[0-9a-f]{64})?)?")
_HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"\[[0-9a-fA-F:.]{{2,45}}\]|(?=.{{1,253}}$){_HOST_LABEL}(\.{_HOST_LABEL})*")
_URL = re.compile(r"https://(?P<address>[^/\s@]+)(/[!-~]{0,200})?")
_SPIFFE = re.compile(r"spiffe://[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?(/[A-Za-z0-9._-]{1,63}){1,4}")

TEXT_LENGTH_MAX = 200
MESSAGE_LENGTH_MAX = 2000
PEM_LENGTH_MAX = 16 * 1024
ZONES_KEPT_MAX = 16_384
TIME_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999."""


def refused(path: str, message: str) -> RefusalError:
    """The refusal of a malformed field."""
    return RefusalError(Reason.INVALID_FIELD, message, path)


def nearest(value: str, valid: Iterable[str]) -> str:
    """A hint at the nearest valid value, to be appended to a sentence; empty when nothing is near."""
    found = difflib.get_close_matches(value, sorted(valid), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _shown(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "...")


def _matching(pattern: re.Pattern[str], value: str, path: str, expected: str) -> str:
    if not pattern.fullmatch(value):
        raise refused(path, f"{_shown(value)} is not {expected}")
    return value


def _nearest_name(value: str) -> str:
    folded = re.sub(r"[^a-z0-9-]+", "-", value.lower()).strip("-").lstrip("0123456789-")[:63].rstrip("-")
    return f"; did you mean {folded!r}?" if NAME.fullmatch(folded) else ""


def name_in(value: str, path: str) -> str:
    """A name: 1 to 63 lower-case letters, digits and inner hyphens, a letter first."""
    if not NAME.fullmatch(value):
        rule = "is not a name (1 to 63 lower-case letters, digits and inner hyphens, a letter first)"
        raise refused(path, f"{_shown(value)} {rule}{_nearest_name(value)}")
    return value


def network_name_in(value: str, path: str) -> str:
    """A node, a link or a carrier: 1 to 128 lower-case letters, digits and inner hyphens."""
    if not _NETWORK_NAME.fullmatch(value):
        rule = "is not a network name (1 to 128 lower-case letters, digits and inner hyphens)"
        raise refused(path, f"{_shown(value)} {rule}{_nearest_name(value)}")
    return value


def identity_in(value: str, path: str) -> str:
    """The identity of a claim or an instance: 1 to 80 lower-case letters, digits and inner hyphens."""
    return _matching(_IDENTITY, value, path, "an identity (1 to 80 lower-case letters, digits and inner hyphens)")


def request_id_in(value: str, path: str) -> str:
    """A request id: 1 to 64 letters, digits, underscores and hyphens."""
    return _matching(_REQUEST_ID, value, path, "a request id (1 to 64 letters, digits, underscores and hyphens)")


def boot_id_in(value: str, path: str) -> str:
    """What an agent calls one run of its process."""
    return _matching(_BOOT_ID, value, path, "a boot id (1 to 64 letters, digits, dots, underscores and hyphens)")


def token_in(value: str, path: str) -> str:
    """An opaque mark of ours or theirs: an etag, a nonce, a context id."""
    return _matching(_TOKEN, value, path, "a token (1 to 128 letters, digits and . _ : + / = -)")


def digest_in(value: str, path: str) -> str:
    """A digest, ``sha256:`` and 64 lower-case hex digits."""
    return _matching(_DIGEST, value, path, 'a digest ("sha256:" and 64 lower-case hex digits)')


def model_in(value: str, path: str) -> str:
    """An accelerator model, for example ``L40S``."""
    return _matching(_MODEL, value, path, "an accelerator model (1 to 63 letters, digits, dots, hyphens, spaces)")


def vendor_in(value: str, path: str) -> str:
    """An accelerator vendor in lower case, for example ``nvidia``."""
    return _matching(_VENDOR, value, path, "a vendor (1 to 63 lower-case letters, digits, dots, hyphens)")


def mig_profile_in(value: str, path: str) -> str:
    """A MIG profile, for example ``1g.10gb``; empty for a whole device."""
    return value and _matching(_MIG_PROFILE, value, path, 'a MIG profile (for example "1g.10gb")')


def law_in(value: str, path: str) -> str:
    """The name of a law, for example ``US-CLOUD-ACT``."""
    if not _LAW.fullmatch(value):
        folded = value.upper().replace("_", "-").replace(" ", "-")
        hint = f"; did you mean {folded!r}?" if _LAW.fullmatch(folded) else ""
        raise refused(path, f"{_shown(value)} is not the name of a law (capitals, digits and hyphens){hint}")
    return value


def percent_in(value: str, path: str) -> str:
    """A percentage from 0 to 100 with at most two decimals, as text."""
    return _matching(_PERCENT, value, path, "a percentage from 0 to 100")


def whole_number_in(value: str, bounds: tuple[int, int], path: str) -> str:
    """A whole number within both bounds, as text, without leading zeros."""
    _matching(_WHOLE_NUMBER, value, path, "a whole number")
    range_in(int(value), bounds, path)
    return value


def label_in(value: str, path: str) -> str:
    """The name of a clearance, a technology, a scheme, a version or a level, for example ``ISO-27001``."""
    if not _LABEL.fullmatch(value):
        hint = f"; did you mean {value.strip()!r}?" if _LABEL.fullmatch(value.strip()) else ""
        rule = "is not a label (1 to 63 letters, digits, dots, hyphens, underscores, plus signs and inner spaces)"
        raise refused(path, f"{_shown(value)} {rule}{hint}")
    return value


def preset_in(value: str, path: str) -> str:
    """A preset, ``name`` or ``name@2026-11-01``; of one that was expanded, with the digest of its data.

    Whether there is one of that name is the caller's question.
    """
    return _matching(_PRESET, value, path, 'a preset ("name" or "name@YYYY-MM-DD")')


@cache
def _country_codes() -> frozenset[str]:
    return frozenset(country.alpha_2 for country in pycountry.countries)


@cache
def _country_hint(value: str) -> str:
    try:
        code = str(pycountry.countries.lookup(value.strip()).alpha_2)
    except LookupError:
        return nearest(value.upper(), _country_codes())
    return f"; did you mean {code!r}?"


def country_in(value: str, path: str) -> str:
    """An ISO 3166-1 alpha-2 country in capitals."""
    if value not in _country_codes():
        hint = _country_hint(value) if len(value) <= 60 else ""
        raise refused(path, f"{_shown(value)} is not an ISO 3166-1 alpha-2 country{hint}")
    return value


def countries_in(values: Sequence[str], path: str) -> tuple[str, ...]:
    """Countries, without repetition, sorted."""
    bounded(values, 300, path)
    return tuple(sorted({country_in(value, f"{path}[{index}]") for index, value in enumerate(values)}))


def text_in(value: str, path: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Printable text for people, possibly empty."""
    if len(value) > length_max:
        raise refused(path, f"has {len(value)} characters; at most {length_max} are taken")
    if not value.isprintable():
        raise refused(path, "holds characters that cannot be printed")
    return value


def required_text_in(value: str, path: str) -> str:
    """Printable text for people, not empty."""
    if not value.strip():
        raise refused(path, "is empty")
    return text_in(value, path)


def message_in(value: str, path: str) -> str:
    """A longer sentence for people; line ends become spaces, so that it stays one line of a log."""
    return text_in(" ".join(value.split()), path, MESSAGE_LENGTH_MAX)


def range_in(value: int, bounds: tuple[int, int], path: str) -> int:
    """An integer within both bounds."""
    lowest, highest = bounds
    if not lowest <= value <= highest:
        near = min(max(value, lowest), highest)
        raise refused(path, f"{value} is not from {lowest} to {highest}; the nearest is {near}")
    return value


def degrees_in(value: float, limit: float, path: str) -> float:
    """An angle within plus and minus ``limit`` degrees; NaN and infinity are refused."""
    if not -limit <= value <= limit:
        raise refused(path, f"{value} is not from {-limit} to {limit} degrees")
    return value


def time_ms_in(value: int, path: str) -> int:
    """Milliseconds since the Unix epoch, UTC, before the year 10000; 0 is unknown."""
    return range_in(value, (0, TIME_MS_MAX), path)


def percentile_in(value: int, path: str) -> int:
    """50, 95 or 99."""
    if value not in (50, 95, 99):
        near = min((50, 95, 99), key=lambda valid: abs(valid - value))
        raise refused(path, f"{value} is not a percentile that is kept (50, 95, 99); the nearest is {near}")
    return value


def address_in(value: str, path: str) -> str:
    """``host:port``, an IPv6 address in square brackets."""
    host, colon, port = value.rpartition(":")
    if not colon or not _HOST.fullmatch(host) or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise refused(path, f'{_shown(value)} is not an address ("host:port")')
    return value


def url_in(value: str, path: str) -> str:
    """An ``https`` URL with an explicit port, at most 300 characters."""
    found = _URL.fullmatch(value)
    if found is None or len(value) > 300:
        raise refused(path, f'{_shown(value)} is not an endpoint ("https://host:port")')
    address_in(found["address"], path)
    return value


def spiffe_id_in(value: str, path: str) -> str:
    """A SPIFFE identity, ``spiffe://trust-domain/path``."""
    return _matching(_SPIFFE, value, path, 'a SPIFFE identity ("spiffe://trust-domain/path")')


def pem_in(value: bytes, path: str) -> bytes:
    """One or more PEM certificates; whether they mean anything is seen when they are used."""
    if len(value) > PEM_LENGTH_MAX:
        raise refused(path, f"has {len(value)} bytes; at most {PEM_LENGTH_MAX} are taken")
    if b"-----BEGIN CERTIFICATE-----" not in value or b"PRIVATE KEY" in value:
        raise refused(path, "is not a PEM certificate")
    return value


@lru_cache(ZONES_KEPT_MAX)
def zone_id_in(value: str, path: str) -> ZoneId:
    """``operator/zone``. Kept, for each probe names two, and the same ones again and again."""
    operator, slash, zone = value.partition("/")
    if not slash:
        raise refused(path, f'{_shown(value)} is not a zone ("operator/zone")')
    return ZoneId(name_in(operator, path), name_in(zone, path))


def workload_id_in(value: str, path: str) -> WorkloadId:
    """``tenants/{tenant}/workloads/{workload}``."""
    try:
        parsed = WorkloadId.parse(value)
    except ValueError:
        message = f'{_shown(value)} is not a workload name ("tenants/TENANT/workloads/WORKLOAD")'
        raise refused(path, message) from None
    return WorkloadId(name_in(parsed.tenant, path), name_in(parsed.workload, path))


def bounded(values: Sized, count_max: int, path: str) -> None:
    """Refuses lists that are longer than anybody needs."""
    if len(values) > count_max:
        raise refused(path, f"has {len(values)} elements; at most {count_max} are taken")


def not_empty(values: Sized, path: str) -> None:
    """Refuses a rule that is there but names nothing, since it could be read as allowing everything or nothing."""
    if not len(values):
        raise refused(path, "is present but empty; name at least one, or leave the rule out")


def distinct(values: Collection[str], path: str) -> None:
    """Refuses lists that name the same thing twice."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            raise refused(f"{path}[{index}]", f"{_shown(value)} is named twice")
        seen.add(value)


# --- enumerations ---------------------------------------------------------------------------------------------------

E = TypeVar("E", bound=StrEnum)
V = TypeVar("V", bound=int)
V_co = TypeVar("V_co", bound=int, covariant=True)


class _WireEnum(Protocol[V_co]):
    def items(self) -> Sequence[tuple[str, V_co]]: ...


class EnumCodec(Generic[E, V]):
    """A domain enumeration and its wire counterpart, which must have the same members apart from ``_UNSPECIFIED``."""

    def __init__(self, members: type[E], wire: _WireEnum[V], prefix: str) -> None:
        numbers = {name.removeprefix(prefix + "_"): number for name, number in wire.items()}
        numbers.pop("UNSPECIFIED")
        if missing := {member.value for member in members} ^ numbers.keys():
            raise TypeError(f"{members.__name__} and the wire differ in {sorted(missing)}")
        self._outward: dict[E, V] = {member: numbers[member.value] for member in members}
        self._inward: dict[int, E] = {number: member for member, number in self._outward.items()}

    def out(self, member: E) -> V:
        """The wire's number of a member."""
        return self._outward[member]

    def read(self, number: int, path: str) -> E:
        """The member of a number; refuses the unset and the unknown."""
        member = self._inward.get(number)
        if member is None:
            what = "is not set" if number == 0 else f"{number} is not known"
            raise refused(path, f"{what}; one of {', '.join(member.value for member in self._outward)}")
        return member

    def read_or(self, number: int, fallback: E) -> E:
        """The member of a number; the fallback for the unset and for what a newer partner may say."""
        return self._inward.get(number, fallback)
