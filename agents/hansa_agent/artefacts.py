"""What may run in the zone: artefacts that its owner wrote into the configuration, by name and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hansa_agent.serving import KServe, Plain, Vllm

_CACHES = frozenset({"__pycache__"})
_CHUNK_BYTES = 1 << 20


class ArtefactUnreadable(Exception):
    """A file of an artefact is missing, unreadable or named twice; the text says which."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """An allowed artefact: the digest of ``files`` must be ``digest`` whenever ``command`` is started with ``env``.

    Where ``image`` is set, "repository@sha256:<64 hex digits>", it is a container image, its digest is the image's own
    and there are no files; ``command`` may be empty then, which leaves the image's own entry point and arguments. One
    that is given replaces both, on every platform.
    """

    name: str
    files: tuple[Path, ...]
    command: tuple[str, ...]
    digest: str
    env: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    serve: Plain | Vllm | KServe | None = None

    @property
    def shape(self) -> str:
        """As the configuration names it."""
        return self.serve.shape if self.serve is not None else "deployment"


def artefact_digest(files: Sequence[Path]) -> str:
    """The digest of an artefact, "sha256:<64 hex digits>".

    Each of ``files`` is a file, which counts under its own name, or a directory, which counts with everything beneath
    it under its own name (``__pycache__`` left out); so it does not matter where they lie. The digest is the SHA-256
    (FIPS 180-4) of the lines "<sha256 of the content>  <path>", sorted by path, each ended by a newline: what
    ``sha256sum`` prints for the sorted paths. Raises ``ArtefactUnreadable``.
    """
    contents: dict[str, Path] = {}
    for path, file in (entry for each in files for entry in _entries(each)):
        if path in contents:
            raise ArtefactUnreadable(f"two files of the artefact are named {path}")
        contents[path] = file
    if not contents:
        raise ArtefactUnreadable("the artefact has no files")
    lines = [f"{_content_digest(contents[path])}  {path}\n" for path in sorted(contents)]
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def digests_of(artefacts: Iterable[Artefact]) -> dict[str, str]:
    """Allowed digests by artefact name."""
    return {artefact.name: artefact.digest for artefact in artefacts}


def _entries(root: Path) -> Iterator[tuple[str, Path]]:
    if not root.is_dir():
        yield root.name, root
        return
    for file in root.rglob("*"):
        inside = file.relative_to(root)
        if file.is_file() and not _CACHES.intersection(inside.parts):
            yield f"{root.name}/{inside.as_posix()}", file


def _content_digest(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise ArtefactUnreadable(f"{file}: {error.strerror}") from error
    return digest.hexdigest()
