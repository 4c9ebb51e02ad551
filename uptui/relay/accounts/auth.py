"""Proof of identity: challenge, signature, bearer credential; and who may host here.

Nonces are signed by the relay instead of being remembered, so that challenges nobody answers cost
no memory; only those already used are remembered until they would expire anyway.
"""

import hashlib
import hmac
import secrets
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.errors import ConfigError, RelayRefusedError
from uptui.protocol.login import statement
from uptui.protocol.relay_api import (
    CHALLENGE_TTL,
    CREDENTIAL_TTL,
    NAMESPACE,
    Challenge,
    Credential,
    CredentialRequest,
)
from uptui.relay.accounts.keys import AcceptedKey, KeysFile
from uptui.relay.accounts.login_origin import Meeting, Whereabouts
from uptui.relay.accounts.route_policy import Identity
from uptui.relay.accounts.tokens import (
    CREDENTIAL_PREFIX,
    MAX_BEARER,
    TOKEN_PREFIX,
    digest,
    new_credential,
)
from uptui.relay.store import Database, accounts, hosts
from uptui.relay.tunnel.pacing import LoginPace

HostingMode = Literal["open", "join-token", "keys", "accounts"]
MAX_USED_NONCES: Final = 100_000
CREDENTIALS_PER_IDENTITY: Final = 16
MIN_JOIN_TOKEN: Final = 16
"""Characters; a join token is a password for the whole relay."""
SCOPE_HOST: Final = "host"

_STAMP = struct.Struct(">16sd")
_MAC_LENGTH = 32
_NONCE_LENGTH = _STAMP.size + _MAC_LENGTH


@dataclass(frozen=True)
class Hosting:
    """Who may host: everybody, holders of the join token, listed keys, or accounts."""

    mode: HostingMode = "open"
    join_token: str | None = None
    keys_file: Path | None = None
    only: frozenset[str] = frozenset()
    """With `keys`, in place of a file: the fingerprints that this relay is there for. Nothing else
    admits anybody, no API token either, and its HTTP API answers nobody else."""

    def __post_init__(self) -> None:
        if self.mode == "join-token" and len(self.join_token or "") < MIN_JOIN_TOKEN:
            raise ConfigError(
                "--join-token", f"hosting by join token needs one of {MIN_JOIN_TOKEN}+ characters"
            )
        if self.mode == "keys" and self.keys_file is None and not self.only:
            raise ConfigError("--hosting-keys", "hosting by key needs an authorized_keys file")


class Nonces:
    """One-time challenges for one identity each."""

    def __init__(self, limit: int = MAX_USED_NONCES) -> None:
        self._secret = secrets.token_bytes(32)
        self._used: dict[str, float] = {}
        self._limit = limit

    def issue(self, fingerprint: str, now: float) -> str:
        """A nonce that `fingerprint` can answer within CHALLENGE_TTL seconds."""
        stamp = _STAMP.pack(secrets.token_bytes(16), now + CHALLENGE_TTL)
        return urlsafe_b64encode(stamp + self._mac(stamp, fingerprint)).decode().rstrip("=")

    def is_live(self, nonce: str, fingerprint: str, now: float) -> bool:
        """Whether the nonce was issued to `fingerprint`, is unexpired and unused."""
        try:
            raw = urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))
        except ValueError:
            return False
        if len(raw) != _NONCE_LENGTH:
            return False
        stamp, mac = raw[: _STAMP.size], raw[_STAMP.size :]
        expires_at: float = _STAMP.unpack(stamp)[1]
        known = hmac.compare_digest(mac, self._mac(stamp, fingerprint))
        return known and now < expires_at and raw.hex() not in self._used

    def use(self, nonce: str, now: float) -> None:
        """Spend a live nonce. Raises RelayRefusedError when too many were spent lately."""
        if len(self._used) >= self._limit:
            self._used = {used: at for used, at in self._used.items() if at > now}
        if len(self._used) >= self._limit:
            raise RelayRefusedError(
                "busy", "too many logins at the moment", retry_after=CHALLENGE_TTL
            )
        self._used[urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4)).hex()] = now + CHALLENGE_TTL

    def _mac(self, stamp: bytes, fingerprint: str) -> bytes:
        return hmac.digest(self._secret, stamp + fingerprint.encode(), hashlib.sha256)


class Authority:
    """Issues and recognises bearer credentials."""

    def __init__(self, database: Database, hosting: Hosting, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds. Raises ConfigError for an unusable authorized_keys file."""
        self._database = database
        self.hosting = hosting
        self._clock = clock
        self._nonces = Nonces()
        self._pace = LoginPace()
        self._keys = KeysFile(hosting.keys_file) if hosting.keys_file else None
        self.whereabouts: Callable[[], Whereabouts] = Whereabouts
        """Where hosts meet this relay now; replaced by the data path, which knows."""

    def challenge(self, public_key: str) -> Challenge:
        """A nonce for this key to sign.

        Raises ProtocolError for a key that is none, RelayRefusedError (`busy`) when more hosts come
        at once than are served in time.
        """
        key = AcceptedKey(public_key)
        if wait := self._pace.wait(time.monotonic()):
            problem = "many hosts come back at once; this one is served in its turn"
            raise RelayRefusedError("busy", problem, retry_after=wait)
        nonce = self._nonces.issue(key.fingerprint, self._clock())
        return Challenge(nonce, NAMESPACE, CHALLENGE_TTL)

    async def login(self, request: CredentialRequest, meeting: Meeting) -> Credential:
        """Exchange a signed nonce for a credential.

        Raises ProtocolError for malformed input and RelayRefusedError (`bad_signature`,
        `other_origin`, `other_certificate`, `not_allowed`, `busy`) when the proof or the
        permission is missing.
        """
        key = AcceptedKey(request.identity)
        said = statement(request.nonce, request.origin, request.certificate)
        now = self._clock()
        live = self._nonces.is_live(request.nonce, key.fingerprint, now)
        if not (live and key.signed(request.signature, NAMESPACE, said.signed())):
            raise RelayRefusedError(
                "bad_signature", "the signature does not answer a challenge of this relay"
            )
        self.whereabouts().check(said, meeting)
        self._nonces.use(request.nonce, now)
        return await self._admit(key, request.join_token, now)

    async def identity_of(self, bearer: str) -> Identity | None:
        """The identity behind a credential, or None when it is unknown, expired or revoked."""
        if len(bearer) > MAX_BEARER or not bearer.startswith(CREDENTIAL_PREFIX):
            return None
        record = await self._database.reading(lambda it: self._credential(it, digest(bearer)))
        if record is None:
            return None
        by_key = record.via == "keys" or self.hosting.only
        if by_key and not self._listed(record.identity.fingerprint):
            return None
        return record.identity

    async def _credential(
        self, connection: AsyncConnection, known_as: str
    ) -> hosts.CredentialRecord | None:
        """A credential that is neither expired nor of an account that may not host now."""
        record = await hosts.credential(connection, known_as)
        if record is None or record.expires_at <= self._clock():
            return None
        account = record.identity.account
        if account is not None:
            found = await accounts.get(connection, account)
            if found is None or found.disabled:
                return None
        return record

    async def token_of(self, bearer: str) -> accounts.TokenRecord | None:
        """The API token behind a bearer text, or None when it is not valid now."""
        if len(bearer) > MAX_BEARER or not bearer.startswith(TOKEN_PREFIX):
            return None
        async with self._database.read() as connection:
            token = await accounts.token_by_digest(connection, digest(bearer))
            if token is None or not token.is_valid(self._clock()):
                return None
            if token.account is not None:
                account = await accounts.get(connection, token.account)
                if account is None or account.disabled:
                    return None
        return token

    async def _admit(self, key: AcceptedKey, join_token: str | None, now: float) -> Credential:
        via, account = await self._permission(key, join_token)
        identity = Identity(key.fingerprint, key.text, account)
        secret = new_credential()
        record = hosts.CredentialRecord(identity, via, now + CREDENTIAL_TTL)

        async def admit(connection: AsyncConnection) -> None:
            if await hosts.is_blocked(connection, key.fingerprint):
                raise RelayRefusedError("not_allowed", "this identity is blocked on this relay")
            await hosts.saw(connection, identity, now)
            await hosts.trim_credentials(
                connection, key.fingerprint, now, CREDENTIALS_PER_IDENTITY - 1
            )
            await hosts.add_credential(connection, digest(secret), record)
            if via.startswith("token:"):
                await accounts.token_used(connection, via.removeprefix("token:"), now)

        await self._database.writing(admit)
        return Credential(secret, CREDENTIAL_TTL, key.fingerprint)

    async def _permission(self, key: AcceptedKey, join_token: str | None) -> tuple[str, str | None]:
        """What admits this identity, and its account. Raises RelayRefusedError."""
        if self.hosting.only and not self._listed(key.fingerprint):
            raise RelayRefusedError(
                "not_allowed",
                f"this relay belongs to one share, and {key.fingerprint} is not its identity; "
                "start one of your own: uptui relay",
            )
        token = await self.token_of(join_token) if join_token else None
        if token is not None and SCOPE_HOST in token.scopes:
            return f"token:{token.id}", token.account
        mode = self.hosting.mode
        if mode == "open":
            return "open", None
        if mode == "keys":
            if self._listed(key.fingerprint):
                return "keys", None
            raise RelayRefusedError(
                "not_allowed",
                f"the key {key.fingerprint} is not in this relay's authorized_keys file",
            )
        if mode == "join-token" and _same(join_token, self.hosting.join_token):
            return "join", None
        what = "join token" if mode == "join-token" else "account's API token"
        problem = "needs the" if join_token is None else "does not know this"
        raise RelayRefusedError(
            "not_allowed", f"this relay {problem} {what}; pass it as UPTUI_JOIN_TOKEN"
        )

    def _listed(self, fingerprint: str) -> bool:
        if self.hosting.only:
            return fingerprint in self.hosting.only
        return self._keys is not None and self._keys.allows(fingerprint)


def _same(given: str | None, wanted: str | None) -> bool:
    if given is None or wanted is None:
        return False
    return hmac.compare_digest(given.encode(), wanted.encode())
