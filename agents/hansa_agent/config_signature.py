"""A configuration that is signed: a detached Ed25519 signature (RFC 8032) beside the file, the raw 64 bytes.

The public key is pinned where the agent is started and never read from beside the configuration. ``openssl pkeyutl
-verify -rawin`` checks and ``-sign -rawin`` makes the same signatures. It covers the bytes of the file and no file that
it names; artefacts are covered by the digests that are written in it.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from hansa_agent.instance_store import write_atomically
from hansa_agent.plain_file import NotPlain, read_plain

SUFFIX = ".sig"
KEY_BYTES, SIGNATURE_BYTES = 32, 64
_PRIME = (1 << 255) - 19
_SMALL_ORDER = frozenset(
    int.from_bytes(bytes.fromhex(encoded), "little")
    for encoded in (
        "00" * 32,
        "01" + "00" * 31,
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
)
"""The y of all points of the curve whose order is 8 at most (RFC 7748, section 7, on what they do): under such a key,
as one of zeroes in the place of a real one, anybody can make signatures."""


class SignatureRefused(Exception):
    """Not what the pinned key has signed, or nothing that could be checked; the text says why."""


def key_of(text: str) -> bytes:
    """A public key as it is pinned: its 32 bytes in base64. Raises ``SignatureRefused``."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureRefused("the configuration's key is not base64") from error
    if len(key) != KEY_BYTES:
        raise SignatureRefused(f"the configuration's key has {len(key)} bytes; an Ed25519 public key has {KEY_BYTES}")
    if (int.from_bytes(key, "little") & ((1 << 255) - 1)) % _PRIME in _SMALL_ORDER:
        raise SignatureRefused("the configuration's key is none: under it anybody could sign")
    return key


def signature_path(path: Path) -> Path:
    """Where the signature of a configuration lies."""
    return path.with_name(path.name + SUFFIX)


def verify(path: Path, content: bytes, key: bytes) -> None:
    """That ``content``, which was read from ``path``, is what ``key`` has signed. Raises ``SignatureRefused``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    beside = signature_path(path)
    try:
        signature = read_plain(beside, SIGNATURE_BYTES)
    except FileNotFoundError as error:
        raise SignatureRefused(f"it is not signed: there is no {beside.name}, and a key is pinned") from error
    except OSError as error:
        raise SignatureRefused(f"{beside.name}: {error.strerror}") from error
    except NotPlain as error:
        raise SignatureRefused(f"{beside.name}: {error}; an Ed25519 signature has {SIGNATURE_BYTES}") from error
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureRefused(f"{beside.name} has {len(signature)} bytes; an Ed25519 signature has {SIGNATURE_BYTES}")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (InvalidSignature, ValueError) as error:
        raise SignatureRefused(f"{beside.name} is not the pinned key's signature of it: it was altered") from error


def sign(path: Path, key_file: Path) -> str:
    """Writes the signature beside a configuration; the public key as it is pinned. Raises ``SignatureRefused``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        content = path.read_bytes()
    except OSError as error:
        raise SignatureRefused(f"{error.filename}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureRefused(f"{key_file}: no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureRefused(f"{key_file}: not an Ed25519 key (openssl genpkey -algorithm ed25519)")
    beside = signature_path(path)
    write_atomically(beside, key.sign(content))
    beside.chmod(path.stat().st_mode & 0o777)
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()
