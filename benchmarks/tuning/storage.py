"""Where trials are kept: Optuna's journal in the run directory, or a database; opened, checked, shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock, Timeout

from benchmarks.machine.databases import check_database
from benchmarks.machine.lock import locked
from benchmarks.machine.redaction import without_credentials
from benchmarks.tuning import journal
from gan.errors import InputError
from gan.replica import digest_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

OURS = "gan_stability"
"""User attribute of an Optuna study: all that makes its trials comparable."""

OURS_DIGEST = f"{OURS}_digest"
"""Another: the digest of that. Where the two disagree the storage is damaged, and no other search's."""

T = TypeVar("T")

# Of a machine that is gone without a word the server hears nothing: it asks after half a minute, and gives up soon.
_KEEPALIVES = ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3")


class Damaged(InputError):
    """A storage holds something else than tuning wrote there.

    Attributes:
        what: Is wrong with it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; expected the trials as tuning left them, or another --storage or --runs-dir")
        self.what = what


class StorageLost(RuntimeError):
    """The database that keeps the trials went away, or takes no more."""


@contextmanager
def lasting(url: str | None) -> Iterator[None]:
    """Say in one line what a database answers with that fails while it is used.

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


def alone(url: str | None, search: str) -> AbstractContextManager[Callable[[], object]]:
    """Keep other drivers of a search out of its database, by a lock that dies with its process.

    Of other databases than SQLite's and PostgreSQL's nobody is kept out.

    Args:
        url: The database; None for a journal, which the run directory's lock guards.
        search: Its name. In an SQLite file it is the only search meanwhile.

    Returns:
        A context; on entry it gives what raises the database's error once the lock may be lost.

    Raises:
        InputError: On entry, of that context: another driver is there.
    """
    if url is None:
        return nullcontext(lambda: None)
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _file_locked(url, Path(str(parsed.database)))
    if parsed.get_backend_name() == "postgresql":
        return _server_locked(url, search)
    return nullcontext(lambda: None)


@contextmanager
def _file_locked(url: str, file: Path) -> Iterator[Callable[[], object]]:
    lock = FileLock(f"{file}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _in_use(url) from None
    try:
        yield lambda: None
    finally:
        lock.release()


@contextmanager
def _server_locked(url: str, search: str) -> Iterator[Callable[[], object]]:
    """Hold an advisory lock of PostgreSQL: it belongs to a connection, and leaves nothing in the database."""
    from sqlalchemy import NullPool, create_engine, text

    digest = hashlib.sha256(f"gan-stability: {search}: driver".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in _KEEPALIVES:
            connection.execute(text(f"set {setting}"))
        if not connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": key}).scalar():
            raise _in_use(url)
        yield lambda: connection.execute(text("select 1"))


def _in_use(url: str) -> InputError:
    return InputError(
        f"--storage {without_credentials(url)}: another driver is searching there; expected one at a time: wait for "
        "it, or have one driver train on several machines by --engine ray"
    )


def opened(directory: Path, url: str | None, say: Callable[[str], None]) -> BaseStorage:
    """Open the storage of a run directory, made where it is not there; call it under the run directory's lock.

    Of a database nobody else may use the same studies meanwhile: see `alone`.

    Args:
        directory: The run directory, which is there; its journal keeps the trials.
        url: A database that keeps them instead.
        say: Told in one line what was mended.

    Raises:
        InputError: It cannot be opened.
    """
    if url is not None:
        return _storage(url)
    file = directory / journal.JOURNAL
    if mended := journal.mend(file):
        say(mended)
    try:
        return _storage(str(file))
    except InputError as error:  # of operations, but such as Optuna cannot make sense of
        say(journal.put_away(file, str(error).removeprefix(f"{file}: ")))
        return _storage(str(file))


def check(directory: Path, url: str | None, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a storage that cannot be opened, or holds other studies under these names; nothing is written.

    Args:
        directory: The run directory; it need not be there.
        url: A database instead of its journal.
        wanted: What makes the trials of each Optuna study comparable, by its name.

    Raises:
        InputError: Naming the first key that differs, or what the storage said.
    """
    file = directory / journal.JOURNAL
    if url is None and not _opens(file):
        return  # it is set aside before anything is trained, and its trials are drawn again
    if not (file.exists() if url is None else _holds_studies(url)):
        return
    try:
        _compare_all(url or str(file), wanted)
    except Damaged:
        if url is not None:
            raise


def _opens(file: Path) -> bool:
    """Say whether Optuna can make sense of a journal; of one that is not there there is none to make."""
    try:
        return not journal.is_damaged(file) and (not file.exists() or bool(_storage(str(file))))
    except InputError:
        return False


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
    parsed = _asked(url, lambda: make_url(url))
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise InputError("--storage: a database in memory loses its trials; expected a file or a server")
        file = Path(parsed.database)
        if not file.exists() and file.parent.is_dir():
            return False
        return _asked(url, lambda: inspect(create_engine(url)).has_table("studies"))
    return check_database("--storage", url, "studies")


def _compare_all(place: str, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    storage = _storage(place, create=False)
    for study in _asked(place, storage.get_all_studies):
        # One that is empty may be ours, of a process that was killed before it said so; it has nothing to lose.
        empty = not study.user_attrs and storage.get_n_trials(study._study_id) == 0
        if study.study_name in wanted and not empty:
            compare(place, study.study_name, study.user_attrs, wanted[study.study_name])


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
                journal.mend(file)
    elif not _holds_studies(storage):
        raise InputError(f"{without_credentials(storage)}: no trials there; expected a database that tuning wrote to")
    opened = _storage(storage, create=False)
    _asked(storage, opened.get_all_studies)
    ready()
    run_server(opened, host=host, port=port)


def _storage(place: str, create: bool = True) -> BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" in place:
        return _asked(place, lambda: RDBStorage(place, skip_table_creation=not create))
    return _asked(place, lambda: JournalStorage(JournalFileBackend(place)))


def _asked(place: str, ask: Callable[[], T]) -> T:
    """Ask a storage for something; whatever it answers with but that is one line for a person."""
    try:
        return ask()
    except Exception as error:
        shown = without_credentials(place)
        lines = without_credentials(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"{shown}: not a storage that can be opened ({lines[0]}); expected a journal that tuning wrote, or the URL "
            "of a database that answers, such as sqlite:///trials.db or postgresql://host/trials"
        ) from None


def compare(place: str, name: str, attributes: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse trials of another search under the same name.

    Args:
        place: The storage, for the message.
        name: Of the Optuna study.
        attributes: Of that study, a person's and ours.
        wanted: What makes trials comparable now.

    Raises:
        Damaged: They are of this search, and something else was made of what says so.
        InputError: Naming the first key that differs.
    """
    shown, there = without_credentials(place), attributes.get(OURS)
    differs = not isinstance(there, dict) or _flat(there) != _flat(json.loads(json.dumps(wanted)))
    if differs and attributes.get(OURS_DIGEST) == digest_of(wanted):
        raise Damaged(f"{shown}: what makes the trials of {name!r} comparable is not what was written")
    if not isinstance(there, dict):
        raise InputError(f"{shown}: the study {name!r} there is not one of ours; expected another --storage")
    old, new = _flat(there), _flat(json.loads(json.dumps(wanted)))
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
