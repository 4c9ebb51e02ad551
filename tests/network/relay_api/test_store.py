"""The store: private, migrated, and clear about what is wrong with it."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from uptui.errors import ConfigError, StateError
from uptui.relay.store import Database, check, open_database, parse_database
from uptui.relay.store.migrate import HEAD, alembic_config
from uptui.relay.store.tables import metadata


async def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection

    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]


async def test_opening_again_keeps_what_is_there(database_url: str) -> None:
    from uptui.relay.accounts.alias_rules import AliasRecord
    from uptui.relay.store import aliases

    record = AliasRecord("demo-box", "SHA256:me", None, 1.0, 2.0)
    first = await open_database(database_url)
    async with first.write() as connection:
        await aliases.put(connection, record)
    await first.close()
    second = await open_database(database_url)
    async with second.read() as connection:
        assert await aliases.get(connection, "demo-box") == record
    await second.close()


async def test_two_relays_may_start_at_once(database_url: str) -> None:
    opened = await asyncio.gather(*(open_database(database_url) for _ in range(3)))
    for one in opened:
        await one.close()


async def test_a_failed_write_leaves_nothing_behind(database: Database) -> None:
    from uptui.relay.accounts.alias_rules import AliasRecord
    from uptui.relay.store import aliases

    async def fail_after_writing() -> None:
        async with database.write() as connection:
            await aliases.put(connection, AliasRecord("demo-box", "me", None, 1.0, 2.0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_writing()
    async with database.read() as connection:
        assert await aliases.get(connection, "demo-box") is None


async def test_the_file_and_its_journal_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened = await open_database(str(tmp_path / "state" / "relay.db"))
        files = list((tmp_path / "state").iterdir())
        assert {file.name for file in files} >= {"relay.db", "relay.db-wal"}
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
        await opened.close()
    finally:
        os.umask(before)


async def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(b"this is no database, but long enough to look like one" * 100)
    with pytest.raises(StateError, match="damaged") as caught:
        await open_database(str(path))
    assert str(path) in str(caught.value)
    assert "uptui relay restore" in str(caught.value)


async def test_damage_that_no_start_would_touch_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await (await open_database(str(path))).close()
    content = bytearray(path.read_bytes())
    content[-8192:-4096] = b"\xaa" * 4096
    path.write_bytes(content)
    with pytest.raises(StateError, match="damaged"):
        await open_database(str(path))


async def test_a_file_that_was_removed_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    opened = await open_database(str(path))
    await check(opened)
    path.unlink()
    with pytest.raises(StateError, match="removed"):
        await check(opened)
    await opened.close()


async def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await (await open_database(str(path))).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StateError, match="newer uptui"):
        await open_database(str(path))


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot open the relay's database"):
        await open_database(str(tmp_path / "file" / "relay.db"))


async def test_a_read_only_database_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await (await open_database(str(path))).close()
    opened = Database(parse_database(f"sqlite+aiosqlite:///file:{path}?immutable=1&uri=true"))
    with pytest.raises(StateError, match="read-only"):
        async with opened.write() as connection:
            await connection.exec_driver_sql("DELETE FROM aliases")
    await opened.close()


async def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    opened = await open_database(str(path))
    async with opened.read() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()

    async def fill() -> None:
        async with opened.write() as connection:
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            await connection.exec_driver_sql(
                "INSERT INTO accounts (name, created_at, disabled) "
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
                "SELECT hex(randomblob(30)) || i, 0, 0 FROM n"
            )

    with pytest.raises(StateError, match="the disk is full") as caught:
        await fill()
    assert str(path) in str(caught.value)
    await opened.close()


def test_no_alembic_is_loaded_for_a_current_database(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from uptui.relay.store import open_database\n"
        "async def main():\n"
        f"    await (await open_database({str(tmp_path / 'relay.db')!r})).close()\n"
        "asyncio.run(main())\n"
        "print('alembic.command' in sys.modules)\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [run.stdout for run in runs] == ["True\n", "False\n"]


async def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://relay:hunter2@/relay?host={tmp_path}"
    with pytest.raises(StateError) as caught:
        await open_database(url)
    assert "hunter2" not in str(caught.value)
    assert "relay" in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "://", "http://relay.example"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--database"):
        parse_database(url)
