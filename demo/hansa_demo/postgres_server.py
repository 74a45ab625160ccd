"""A PostgreSQL server of the distribution's package for tests and demonstrations, with port, folder and databases."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from itertools import count
from pathlib import Path

import psycopg

USER = "hansa"
DEBIAN = Path("/usr/lib/postgresql")


class PostgresServer:
    """A server on a free port of loopback, made anew; ``close`` removes it. It can be stopped, killed and started."""

    def __init__(self) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="hansa-postgres-"))
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self.port = _free_port()
        self._names = count(1)
        # PostgreSQL refuses to run as root; the package comes with a user for it.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            os.chown(self._folder, pwd.getpwnam("postgres").pw_uid, -1)
        self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "--no-sync", "--locale=C.UTF-8")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """``immediate`` is what a power cut leaves: nothing is written any more."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def pids(self) -> list[int]:
        """The server and all that it has started."""
        first = int((self._data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="utf-8").split()
        return [first, *map(int, children)]

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"hansa_{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        subprocess.run(
            [*self._as, str(self._binaries / "pg_ctl"), "-D", str(self._data), "-m", "immediate", "stop"],
            check=False, capture_output=True,
        )  # fmt: skip
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        # The server inherits what it is given: a pipe would be kept open for as long as it lives.
        said = self._folder / f"{program}.out"
        with said.open("ab") as output:
            command = [*self._as, str(self._binaries / program), *arguments]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._folder, check=False
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{said.read_text()[-2000:]}")


def _binaries() -> Path:
    """The folder with initdb and pg_ctl; the newest of the distribution's."""
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).parent
    raise FileNotFoundError("PostgreSQL is not installed: on Debian or Ubuntu, apt-get install postgresql")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
