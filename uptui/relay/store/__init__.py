"""The relay's memory: identities, accounts, aliases, ports and usage on SQLite or PostgreSQL."""

from sqlalchemy import text

from uptui.errors import StateError
from uptui.relay.store.engine import Database, damaged, parse_database
from uptui.relay.store.migrate import migrate

__all__ = ["Database", "check", "open_database", "parse_database"]


async def open_database(database: str) -> Database:
    """Open `--database` (a file or a URL) and bring its tables up to date.

    Raises ConfigError for a URL that is none, StateError for one that cannot be used.
    """
    opened = Database(parse_database(database))
    try:
        await opened.prepare()
        await _look_through(opened)
        await migrate(opened)
    except BaseException:
        await opened.close()
        raise
    return opened


async def check(database: Database) -> None:
    """Raises StateError when the store does not answer, or its file is no longer there."""
    if database.path is not None and not database.path.exists():
        raise StateError(
            database.path,
            "the relay's database was removed; stop the relay, put the file or a backup back",
        )
    async with database.read() as connection:
        await connection.execute(text("SELECT version_num FROM alembic_version"))


async def _look_through(database: Database) -> None:
    """Find damage of a SQLite file now and not at the first page that somebody needs."""
    if not database.is_sqlite:
        return
    async with database.read() as connection:
        found = (await connection.execute(text("PRAGMA quick_check(1)"))).scalar()
    if found != "ok":
        raise damaged(database.place, str(found))
