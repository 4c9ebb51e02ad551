"""The session token with its rotation, and the lock; what of a share changes but is no person."""

import msgspec

from uptui.protocol.names import RouteName, new_token


class Address(msgspec.Struct, kw_only=True):
    """The stored state of the share's own name."""

    token: RouteName
    rotated_at: float
    locked: bool = False

    @classmethod
    def fresh(cls, now: float) -> "Address":
        return cls(token=new_token(), rotated_at=now)

    def rotate(self, now: float) -> RouteName:
        """Take a new token; returns the old one, which is no longer valid."""
        old, self.token, self.rotated_at = self.token, new_token(), now
        return old

    def rotates_at(self, every: float | None) -> float | None:
        return None if every is None else self.rotated_at + every
