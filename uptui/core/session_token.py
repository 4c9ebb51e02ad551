"""The session token with its rotation, and the lock; what of a share changes but is no person."""

import msgspec

from uptui.protocol.names import RouteName, new_secret, new_token


class SessionToken(msgspec.Struct, kw_only=True):
    """The stored state of the share's own name."""

    token: RouteName
    rotated_at: float
    locked: bool = False
    secret: str = ""
    """What admits unknown keys where they are accepted; no relay is told it."""
    overheard: bool = False
    """Somebody said the secret where the relay reads it: further keys need a person's yes."""

    @classmethod
    def fresh(cls, now: float) -> "SessionToken":
        return cls(token=new_token(), rotated_at=now, secret=new_secret())

    def rotate(self, now: float) -> RouteName:
        """Take a new token and secret; returns the old token, which is no longer valid."""
        old, self.token, self.rotated_at = self.token, new_token(), now
        self.secret, self.overheard = new_secret(), False
        return old

    def rotates_at(self, every: float | None) -> float | None:
        return None if every is None else self.rotated_at + every
