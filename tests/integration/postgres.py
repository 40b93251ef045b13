"""PostgreSQL from Debian's package, in a temporary directory and on a free port; it ends with the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROLE, PASSWORD = "ganbench", "secret@and/more"


def programs() -> Path | None:
    """Return where the newest PostgreSQL's programs are, if there is one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    return found[-1].parent if found else None


class Postgres:
    """A server with a role that may make databases, by password.

    Args:
        folder: An empty one, of the user that the server runs as.
        bin: Where its programs are.
    """

    def __init__(self, folder: Path, bin: Path) -> None:
        self.folder, self.bin = folder, bin
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # It refuses to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o644)
        self._run("initdb", "-D", str(folder / "data"), "-U", "admin", "-A", "scram-sha-256", f"--pwfile={secret}")
        self.start()
        self.ask(f"create role {ROLE} login createdb password '{PASSWORD}'")
        self.ask("create role guest login password 'guest'")

    def database(self, name: str) -> str:
        """Make a database; return its URL, with the role that owns it."""
        self.ask(f"create database {name} owner {ROLE}")
        return self.url(name)

    def url(self, name: str, role: str = ROLE, password: str = PASSWORD) -> str:
        """Return the URL of a database, of any name."""
        from sqlalchemy import URL

        made = URL.create("postgresql", role, password, "127.0.0.1", self.port, name)
        return made.render_as_string(hide_password=False)

    def ask(self, question: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Ask a database, or tell it something, as its administrator."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="admin", password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            answer = connection.execute(question.encode())
            return answer.fetchall() if answer.description else []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        """End it at once."""
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # Not by a pipe, which the server would keep open for ever.
        log = self.folder / "said"
        with log.open("ab") as said:
            done = subprocess.run([*self._as, str(self.bin / program), *arguments], stdout=said, stderr=said, cwd="/")
        assert done.returncode == 0, log.read_text()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start PostgreSQL, once for all tests."""
    bin = programs()
    if bin is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    # Not in pytest's own folder, which another user cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="gan-stability-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        server = Postgres(folder, bin)
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
