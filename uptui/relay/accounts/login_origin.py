"""Decides whether a host that logs in has met this relay, and no other: by address, certificate.

What a proxy says about itself (X-Forwarded-*) has no part in it: whoever passes a login on could
say it, too.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from uptui.errors import ProtocolError, RelayRefusedError
from uptui.protocol.login import Origin, Scheme, Statement, canonical_host


class Meeting(NamedTuple):
    """What the relay itself sees of the connection on which a host logs in."""

    local: tuple[str, int] | None = None
    """Our end of it."""
    proxied: bool = False
    """Whether the other end is a trusted proxy, which shows hosts a certificate of its own."""


@dataclass(frozen=True)
class Whereabouts:
    """Where this relay is met."""

    scheme: Scheme = "http"
    """What we speak ourselves."""
    hosts: frozenset[str] = frozenset()
    """Our names and addresses; `*.` before a name stands for one label."""
    ports: frozenset[int] = frozenset()
    """The ports of `hosts`."""
    further: frozenset[Origin] = frozenset()
    """Whole origins: those that the operator gave, and where hosts are told to join."""
    certificates: Collection[bytes] = field(default_factory=frozenset[bytes])
    """SHA-256 of what we show; none where we do not end TLS."""

    def check(self, said: Statement, meeting: Meeting) -> None:
        """Raises RelayRefusedError (`other_origin`, `other_certificate`)."""
        if not self._is_ours(said.origin, meeting):
            raise RelayRefusedError(
                "other_origin",
                f"the login was signed for {said.origin}, which is no address of this relay; if it "
                f"is one, its operator says so by: uptui relay --origin {said.origin}",
            )
        if self.certificates and not meeting.proxied and said.certificate not in self.certificates:
            raise RelayRefusedError(
                "other_certificate",
                f"the host saw the certificate sha256 {said.certificate.hex() or '(none)'}, which "
                "this relay does not show: something on the way opens the encryption",
            )

    def _is_ours(self, origin: Origin, meeting: Meeting) -> bool:
        if origin in self.further:
            return True
        if origin.scheme != self.scheme:
            return False
        if origin.port in self.ports and (
            origin.host in self.hosts or f"*.{origin.host.partition('.')[2]}" in self.hosts
        ):
            return True
        return not meeting.proxied and self._is_this_end(origin, meeting.local)

    def _is_this_end(self, origin: Origin, local: tuple[str, int] | None) -> bool:
        """Whether it names the very address that the connection came to."""
        if local is None or origin.port != local[1]:
            return False
        try:
            host = canonical_host(local[0])
        except ProtocolError:
            return False
        return origin.host == host or (origin.host == "localhost" and ip_address(host).is_loopback)


def spelled(hosts: Iterable[str]) -> frozenset[str]:
    """Names and addresses in their one spelling; what is neither (a listener's "") is left out."""
    found: set[str] = set()
    for host in hosts:
        any_label = "*." if host.startswith("*.") else ""
        try:
            found.add(any_label + canonical_host(host.removeprefix(any_label)))
        except ProtocolError:
            continue
    return frozenset(found)
