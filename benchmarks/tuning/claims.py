"""What one driver of a search has claimed for itself, so that several can share a database and repeat nothing.

A claim dies with its process, however it ends: what a dead driver had claimed is free again at once. In PostgreSQL they
are session-level advisory locks of one connection, which leave nothing behind in the database; a journal and an SQLite
file have one driver at a time, which need not ask.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from benchmarks.machine.redaction import without_credentials
from gan.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

WAIT_SECONDS = 1.0  # between two looks at what other drivers are doing

# Of a machine that is gone without a word the database hears nothing: it asks after half a minute, and gives up soon.
_KEEPALIVES = ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3")
_HOLDERS = """
select count(distinct pid) from pg_locks join pg_database on pg_database.oid = pg_locks.database
where locktype = 'advisory' and granted and objsubid = 1 and datname = current_database()
and classid::bigint = :high and objid::bigint = :low
"""


class Claims:
    """Those of the only driver there is: whatever it asks for is free."""

    def claim(self, what: str) -> bool:
        """Claim something, and say whether it is this driver's now; it may have been before."""
        return True

    def release(self, what: str) -> None:
        """Let go of something that was claimed."""

    def drivers(self) -> int:
        """Return how many drivers share the search, this one among them."""
        return 1

    def check(self) -> None:
        """Raise the database's error where the claims may be lost: what was claimed may be another's by now."""

    @contextmanager
    def undisturbed(self) -> Generator[None]:
        """Wait until no other driver makes or changes what all of them share, and keep them waiting."""
        yield


class SharedClaims(Claims):
    """Those of one of several drivers, in a PostgreSQL database.

    Args:
        connection: To the database, committing by itself; the claims live as long as it does.
        search: Whose drivers these are.
    """

    def __init__(self, connection: Connection, search: str) -> None:
        self._connection, self._search = connection, search
        self._held: set[str] = set()
        for setting in _KEEPALIVES:
            self._ask(f"set {setting}")
        self._ask("select pg_advisory_lock_shared(:key)", key=_key(f"{search}: driver"))

    def claim(self, what: str) -> bool:
        """Claim something, and say whether it is this driver's now; it may have been before."""
        if what not in self._held and self._ask("select pg_try_advisory_lock(:key)", key=self._key(what)):
            self._held.add(what)
        return what in self._held

    def release(self, what: str) -> None:
        """Let go of something that was claimed."""
        if what in self._held:
            self._held.remove(what)
            self._ask("select pg_advisory_unlock(:key)", key=self._key(what))

    def drivers(self) -> int:
        """Return how many drivers share the search, this one among them."""
        unsigned = _key(f"{self._search}: driver") % 2**64
        return self._ask(_HOLDERS, high=unsigned >> 32, low=unsigned % 2**32)

    def check(self) -> None:
        """Raise the database's error where the claims may be lost: what was claimed may be another's by now."""
        self._ask("select 1")

    @contextmanager
    def undisturbed(self) -> Generator[None]:
        """Wait until no other driver makes or changes what all of them share, and keep them waiting."""
        self._ask("select pg_advisory_lock(:key)", key=_key("the database"))
        try:
            yield
        finally:
            self._ask("select pg_advisory_unlock(:key)", key=_key("the database"))

    def _key(self, what: str) -> int:
        return _key(f"{self._search}: {what}")

    def _ask(self, statement: str, **values: Any) -> Any:
        from sqlalchemy import text

        answer = self._connection.execute(text(statement), values)
        return answer.scalar() if answer.returns_rows else None


def is_shared(url: str) -> bool:
    """Say whether several drivers can search in a database."""
    from sqlalchemy.engine import make_url

    return make_url(url).get_backend_name() == "postgresql"


@contextmanager
def joined(url: str | None, search: str) -> Iterator[Claims]:
    """Join the drivers of a search, until the end of the block.

    Args:
        url: The database that keeps the trials; None for a journal, which the run directory's lock guards.
        search: Its name, the same for all drivers.

    Raises:
        InputError: Another driver uses a database that only one can use.
    """
    if url is None:
        yield Claims()
        return
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    if is_shared(url):
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield SharedClaims(connection, search)
    elif parsed.get_backend_name() == "sqlite":
        with _alone(Path(str(parsed.database)), url):
            yield Claims()
    else:
        yield Claims()


@contextmanager
def _alone(file: Path, url: str) -> Generator[None]:
    lock = FileLock(f"{file}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"--storage {without_credentials(url)}: another driver is using it; expected one at a time, or "
            "postgresql:// for several"
        ) from None
    try:
        yield
    finally:
        lock.release()


def wait(stopping: Callable[[], bool]) -> None:
    """Wait a moment for other drivers.

    Raises:
        KeyboardInterrupt: A person asked to stop.
    """
    time.sleep(WAIT_SECONDS)
    if stopping():
        raise KeyboardInterrupt


def _key(what: str) -> int:
    """Return a number of 64 bits, with a sign, as PostgreSQL names its advisory locks."""
    return int.from_bytes(hashlib.sha256(f"gan-stability: {what}".encode()).digest()[:8], "big", signed=True)
