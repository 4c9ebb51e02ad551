"""The keys that one client shows, and which of them logs it in; knows nobody and no wire.

A key that nobody knows would make its client wait for a person, though a listed one may come next.
So it is proved and put off: the login's answer is *partial success* (RFC 4252, 5.1) with
keyboard-interactive among the methods that go on. A client shows its other keys then, and asks
for keyboard-interactive after the last: that lets it in as the first key that it has proved.
"""

import re
from typing import Final, Generic, TypeVar

import asyncssh

from uptui.protocol.names import Screening

T = TypeVar("T")

_GOES_ON: Final = re.compile(
    r"(SSH-2\.0-)?(OpenSSH_(for_Windows_)?([7-9]|6\.[2-9]|[1-9][0-9])|PuTTY_)"
)


def goes_on(client_version: str) -> bool:
    """Whether this client is known to show its next key after a partial success."""
    return _GOES_ON.match(client_version) is not None


class Candidates(Generic[T]):
    """Each key by what stands for it at its server."""

    def __init__(self) -> None:
        self.chosen: T | None = None
        """The key shown last, or the one that was put off once no other has done."""
        self.put_off: T | None = None
        """The first key proved that was not let in at once."""
        self._screening: Screening = "no"

    def show(self, key: T, screening: Screening) -> bool:
        """Whether this key may be proved; one that is put off goes before another such."""
        if screening == "later" and self.put_off is not None:
            screening = "no"
        self._screening = screening
        self.chosen = key if screening != "no" else None
        return self.chosen is not None

    def prove(self, *, goes_on: bool) -> bool:
        """The key shown last is its client's: whether that is the login."""
        if self._screening == "later" and goes_on:
            self.put_off, self.chosen, self._screening = self.chosen, None, "no"
            return False
        return self.chosen is not None

    def settle(self) -> bool:
        """The client has no other key: whether one was put off, which is its login now."""
        if self.put_off is None:
            return False
        self.chosen, self._screening = self.put_off, "in"
        return True


class SteppedOwner(asyncssh.SSHServer, Generic[T]):
    """A server whose clients log in with the first of their keys that is let in."""

    def __init__(self) -> None:
        self.keys: Candidates[T] = Candidates()

    def client_version(self) -> str:
        """The client's SSH identification string."""
        raise NotImplementedError

    def lets_in(self) -> bool:
        """Whether the key just proved is the login, not the first step of one."""
        return self.keys.prove(goes_on=goes_on(self.client_version()))

    def kbdint_auth_supported(self) -> bool:
        """Only whom it leads to the waiting room: no client may sit at a prompt."""
        return self.keys.put_off is not None

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> bool:
        """Nothing is asked; the answer is the login."""
        del username, lang, submethods
        return self.keys.settle()
