"""The token in the state directory that lets whoever may read it administer the relay."""

from pathlib import Path
from typing import Final

from uptui.errors import StateError
from uptui.relay.accounts.tokens import digest, new_token, new_token_id
from uptui.relay.store import Database, accounts
from uptui.runtime.private_files import private_directory, remove_leftovers, write_private

FILE_NAME: Final = "admin-token"
LABEL: Final = "admin-token file of the relay"
WRITTEN_BY_THEN: Final = 60.0
"""Seconds after which a file that is still being written belongs to a relay that was killed."""
ALL_SCOPES: Final = frozenset({"admin"})


async def ensure_admin_token(database: Database, state_dir: Path, now: float) -> None:
    """Make `state_dir`/admin-token (0600) hold a valid token. Raises StateError."""
    path = state_dir / FILE_NAME
    known = read_admin_token(state_dir)
    if known is not None:
        async with database.read() as connection:
            token = await accounts.token_by_digest(connection, digest(known))
        if token is not None and token.is_valid(now):
            return
    secret = new_token()
    record = accounts.TokenRecord(new_token_id(), None, ALL_SCOPES, LABEL, now)
    async with database.write() as connection:
        await accounts.revoke_labelled(connection, [LABEL], now)
        await accounts.add_token(connection, digest(secret), record)
    _write(path, secret)


def read_admin_token(state_dir: Path) -> str | None:
    """The token kept there, or None when there is none. Raises StateError."""
    path = state_dir / FILE_NAME
    try:
        return path.read_text("ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise StateError(path, f"cannot be read: {error}") from error


def _write(path: Path, secret: str) -> None:
    private_directory(path.parent)
    remove_leftovers(path.parent, older_than=WRITTEN_BY_THEN)
    write_private(path, f"{secret}\n".encode("ascii"))
