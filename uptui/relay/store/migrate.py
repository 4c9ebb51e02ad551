"""Bringing a database to this version's tables; alembic is loaded only when there is work to do."""

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, inspect, text

from uptui.errors import StateError
from uptui.relay.store.engine import Database

HEAD: Final = "0002"
"""The newest revision in migrations/versions."""

_SCRIPTS = Path(__file__).parent / "migrations"


async def migrate(database: Database) -> None:
    """Upgrade to HEAD. Raises StateError when the database is newer than this program."""
    async with database.read() as connection:
        current = await connection.run_sync(_revision)
    if current == HEAD:
        return
    if current is not None and current > HEAD:
        raise StateError(
            database.place,
            f"the relay's database was written by a newer uptui (revision {current}); "
            "upgrade uptui or put a backup back",
        )
    async with database.write() as connection:
        await connection.run_sync(_upgrade)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def alembic_config(connection: Connection | None = None) -> Any:
    """The alembic configuration of the shipped migrations, run on `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(alembic_config(connection), HEAD)
