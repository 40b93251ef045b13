"""Whether a database on a server can be used, found out before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.machine.redaction import without_credentials
from gan.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

CONNECT_SECONDS = 5
INSTALL = 'pip install "gan-stability[postgres]"'


def check_database(option: str, url: str, table: str) -> bool:
    """Connect to a database and see whether we may use it; nothing is written.

    Args:
        option: That gave the URL, for the message.
        url: Of a server's database.
        table: That the user of the database makes, or has made.

    Returns:
        Whether it holds the table.

    Raises:
        InputError: It does not answer, does not let us in, or gives us no right to write there.
    """
    from sqlalchemy import NullPool, create_engine, inspect

    place = f"{option} {without_credentials(url)}"
    shared = url.startswith("postgresql")
    try:
        engine = create_engine(
            url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS} if shared else {}
        )
        with engine.connect() as connection:
            there = inspect(connection).has_table(table)
            lacking = _lacking(connection, table if there else None) if shared else ""
    except ModuleNotFoundError as error:
        expected = INSTALL if error.name == "psycopg" else "one that is"
        raise InputError(f"{place}: its driver is not installed ({error.name}); expected {expected}") from None
    except Exception as error:  # each driver has its own
        said = without_credentials(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__]
        raise InputError(
            f"{place}: cannot be used ({said[0]}); expected a database that answers, such as postgresql://host/name"
        ) from None
    if lacking:
        raise InputError(f"{place}: no right to {lacking} there; expected a database whose owner or writer we are")
    return there


def _lacking(connection: Connection, table: str | None) -> str:
    """Return the right that we lack: to write to the table, or to make one where there is none."""
    from sqlalchemy import text

    if table is None:
        may = "select has_schema_privilege(current_schema(), 'create')"
        return "" if connection.execute(text(may)).scalar() else "make tables"
    may = "select has_table_privilege(:name, 'insert') and has_table_privilege(:name, 'update')"
    return "" if connection.execute(text(may), {"name": table}).scalar() else "write"
