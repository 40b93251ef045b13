"""Where trials are kept: Optuna's journal in the run directory, or a database; opened, checked, shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock, Timeout

from benchmarks.machine.databases import check_database
from benchmarks.machine.lock import locked
from benchmarks.machine.redaction import without_credentials
from benchmarks.tuning import journal
from benchmarks.tuning.journal import Damaged
from gan.errors import InputError
from gan.replica import digest_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

IDENTITY = "gan_stability"
"""User attribute of an Optuna study: all that makes its trials comparable."""

IDENTITY_DIGEST = f"{IDENTITY}_digest"
"""Another: the digest of that. Where the two disagree the storage is damaged, and no other search's."""

T = TypeVar("T")

# Of a machine that is gone without a word the server hears nothing: it asks after half a minute, and gives up soon.
_KEEPALIVES = ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3")


class StorageLost(RuntimeError):
    """The database that keeps the trials went away, or takes no more."""


@contextmanager
def translate_storage_errors(url: str | None) -> Iterator[None]:
    """Say in one line what went wrong with a database that fails while it is used.

    Args:
        url: The database; None for the journal, whose disk may be full as any file's.

    Raises:
        StorageLost: Without credentials.
    """
    if url is None:
        yield
        return
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        # Optuna's own words are of its insides; what the database said is behind them.
        lines = without_credentials(error.__cause__ or error).splitlines() or [type(error).__name__]
        raise StorageLost(f"{without_credentials(url)}: the trials cannot be kept there ({lines[0]})") from None


@contextmanager
def exclusive(url: str | None, search: str) -> Iterator[Callable[[], object]]:
    """Keep other drivers of a search out of its database, by a lock that dies with its process.

    An SQLite file is locked as a whole, beside it. In PostgreSQL an advisory lock of the search belongs to a
    connection, and leaves nothing in the database. Of other databases nobody is kept out.

    Args:
        url: The database; None for a journal, which the run directory's lock guards.
        search: Its name.

    Yields:
        What raises the database's error once the lock may be lost.

    Raises:
        InputError: Another driver is there.
    """
    if url is None:
        yield lambda: None
        return
    from sqlalchemy import NullPool, create_engine, make_url, text

    with ExitStack() as held:
        check = list[Callable[[], object]]()
        backend = make_url(url).get_backend_name()
        if backend == "sqlite":
            try:
                held.enter_context(FileLock(f"{make_url(url).database}.lock", timeout=0))
            except Timeout:
                raise _in_use(url) from None
        elif backend == "postgresql":
            digest = hashlib.sha256(f"gan-stability: {search}: driver".encode()).digest()
            key = int.from_bytes(digest[:8], "big", signed=True)
            engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
            connection = held.enter_context(engine.connect())
            for setting in _KEEPALIVES:
                connection.execute(text(f"set {setting}"))
            if not connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": key}).scalar():
                raise _in_use(url)
            check.append(lambda: connection.execute(text("select 1")))
        yield lambda: [ask() for ask in check]


def _in_use(url: str) -> InputError:
    return InputError(
        f"--storage {without_credentials(url)}: another driver is searching there; expected one at a time: wait for "
        "it, or have one driver train on several machines by --engine ray"
    )


def open_storage(directory: Path, url: str | None, say: Callable[[str], None]) -> BaseStorage:
    """Open the storage of a run directory, made where it is not there; call it under the run directory's lock.

    Of a database nobody else may use the same studies meanwhile: see `exclusive`.

    Args:
        directory: The run directory, which is there; its journal keeps the trials.
        url: A database that keeps them instead.
        say: Called with one line on what was repaired.

    Raises:
        InputError: The database cannot be opened.
        Damaged: The journal is none.
    """
    if url is not None:
        return _connect(url)
    if repaired := journal.repair(file := directory / journal.JOURNAL):
        say(repaired)
    return _connect(str(file))


def check(directory: Path, url: str | None, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a storage that cannot be opened, or holds other studies under these names; nothing is written.

    A damaged journal is not refused: it is set aside before anything is trained, and its trials are drawn again.

    Args:
        directory: The run directory; it need not be there.
        url: A database instead of its journal.
        wanted: What makes the trials of each Optuna study comparable, by its name.

    Raises:
        InputError: Naming the first key that differs, or what the storage said.
    """
    file = directory / journal.JOURNAL
    if not (file.exists() if url is None else _holds_studies(url)):
        return
    try:
        if url is None:
            journal.check(file)
        place = url or str(file)
        storage = _connect(place, create=False)
        for study in _ask(place, storage.get_all_studies):
            # An empty one may be of a process of this search that was killed at its start; it has nothing to lose.
            empty = not study.user_attrs and storage.get_n_trials(study._study_id) == 0
            if study.study_name in wanted and not empty:
                compare(place, study.study_name, study.user_attrs, wanted[study.study_name])
    except Damaged:
        if url is not None:
            raise


def _holds_studies(url: str) -> bool:
    """Say whether a database has Optuna's tables, without making them, nor a file for them.

    Raises:
        InputError: It does not answer, or would not outlive this process.
    """
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.engine import make_url

    if "://" not in url:
        raise InputError(
            f"--storage {without_credentials(url)}: expected the URL of a database, such as sqlite:///trials.db"
        )
    parsed = _ask(url, lambda: make_url(url))
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise InputError("--storage: a database in memory loses its trials; expected a file or a server")
        file = Path(parsed.database)
        if not file.exists() and file.parent.is_dir():
            return False
        return _ask(url, lambda: inspect(create_engine(url)).has_table("studies"))
    return check_database("--storage", url, "studies")


def dashboard(storage: str, host: str, port: int, ready: Callable[[], None]) -> None:
    """Serve Optuna's dashboard until it is interrupted.

    Args:
        storage: A journal's path, or a database's URL.
        host: Where to listen.
        port: And on which port.
        ready: Called once the storage is known to be one, before it is served.

    Raises:
        InputError: The storage cannot be opened.
    """
    from optuna_dashboard import run_server

    if "://" not in storage:
        file = Path(storage)
        if not file.exists():
            raise InputError(f"{storage}: no such journal; expected one that tuning wrote, or a database's URL")
        journal.check(file)
        # The dashboard appends to it, notes for instance: not to a line that was cut short.
        if journal.is_torn(file):
            with locked(file.parent):
                journal.repair(file)
    elif not _holds_studies(storage):
        raise InputError(f"{without_credentials(storage)}: no trials there; expected a database that tuning wrote to")
    opened = _connect(storage, create=False)
    _ask(storage, opened.get_all_studies)
    ready()
    run_server(opened, host=host, port=port)


def _connect(place: str, create: bool = True) -> BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" in place:
        return _ask(place, lambda: RDBStorage(place, skip_table_creation=not create))
    return _ask(place, lambda: JournalStorage(JournalFileBackend(place)))


def _ask(place: str, question: Callable[[], T]) -> T:
    """Ask a storage for something; an error of any kind becomes one line for a person.

    Raises:
        InputError: The database cannot be opened.
        Damaged: The journal cannot be read.
    """
    try:
        return question()
    except Exception as error:
        lines = without_credentials(error).splitlines() or [type(error).__name__]
        if "://" not in place:
            raise Damaged(f"{place}: not a journal that can be read ({lines[0]})") from None
        raise InputError(
            f"{without_credentials(place)}: not a storage that can be opened ({lines[0]}); expected the URL of a "
            "database that answers, such as sqlite:///trials.db or postgresql://host/trials"
        ) from None


def compare(place: str, name: str, attributes: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse trials of another search under the same name.

    Args:
        place: The storage, for the message.
        name: Of the Optuna study.
        attributes: Of that study, a person's and this program's.
        wanted: What makes trials comparable now.

    Raises:
        Damaged: They are of this search, and something else was made of what says so.
        InputError: Naming the first key that differs.
    """
    shown, there = without_credentials(place), attributes.get(IDENTITY)
    old, new = _flat(there), _flat(json.loads(json.dumps(wanted)))
    if old != new and attributes.get(IDENTITY_DIGEST) == digest_of(wanted):
        raise Damaged(f"{shown}: what makes the trials of {name!r} comparable is not what was written")
    if not isinstance(there, dict):
        raise InputError(f"{shown}: the study {name!r} there was not made by ganbench; expected another --storage")
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            raise InputError(
                f"{shown}: holds {name!r} with another search: {key} is {old.get(key)!r} there and {new.get(key)!r} "
                "here; expected the same, or another --runs-dir or --storage"
            )


def _flat(content: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {key: content}
    return {k: v for name, value in content.items() for k, v in _flat(value, f"{key}.{name}" if key else name).items()}
