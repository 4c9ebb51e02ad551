"""The trust in a relay: authorities, a pinned certificate, or the one seen first; never plain http
to the open internet unless asked for."""

import asyncio
import hashlib
import ssl
from pathlib import Path
from typing import Final

from uptui.errors import ConfigError, RelayRefusedError, RelayUnreachableError, StateError
from uptui.host.relay_link.endpoint import RelayEndpoint
from uptui.host.relay_link.sockets import connect, resolve, tunnel
from uptui.net.authorities import authorities
from uptui.net.nearness import Nearness, nearness
from uptui.net.tls_pin import pinned_context
from uptui.runtime.private_files import private_directory, write_private

TLS_TIMEOUT: Final = 10.0
MAX_KNOWN_BYTES: Final = 1024 * 1024
_AUTHORITIES: Final = "authorities"
_PIN: Final = "sha256="


async def tls_context(endpoint: RelayEndpoint) -> ssl.SSLContext | None:
    """The trust in this relay; None for plain http. Holds for every connection made with it.

    Raises ConfigError for an unreadable file of authorities, StateError for an unusable one of
    known relays, RelayRefusedError for plain http to a public address, RelayUnreachableError.
    """
    if endpoint.scheme == "http":
        await plain_http(endpoint)
        return None
    if endpoint.pin is not None:
        complaint = f"{endpoint.shown}: its certificate is not the pinned one"
        return pinned_context(endpoint.pin, complaint)
    verifying = _verifying(endpoint.ca_file)
    if endpoint.known_relays is None:
        return verifying
    known = await _known(endpoint, endpoint.known_relays, verifying)
    if known == _AUTHORITIES:
        return verifying
    where = endpoint.known_relays
    return pinned_context(
        known.removeprefix(_PIN),
        f"{endpoint.shown}: its certificate has changed since the first use (if that is meant, "
        f"remove its line in {where})",
    )


def _verifying(ca_file: str | None) -> ssl.SSLContext:
    context = authorities()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError("ca_file", f"{ca_file} cannot be used: {error}") from error
    return context


async def _known(endpoint: RelayEndpoint, file: Path, verifying: ssl.SSLContext) -> str:
    """What was found at the first use, which may be now: "authorities" or "sha256=HEX"."""
    address = endpoint.url.removeprefix("https://")
    lines = _lines(file)
    for line in lines:
        name, _, kind = line.partition(" ")
        if name == address and (kind == _AUTHORITIES or kind.startswith(_PIN)):
            return kind
    found = await _look(endpoint, verifying)
    _write(file, [*lines, f"{address} {found}"])
    return found


async def _look(endpoint: RelayEndpoint, verifying: ssl.SSLContext) -> str:
    try:
        await _certificate(endpoint, verifying)
    except ssl.SSLCertVerificationError:
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname = False
        anybody.verify_mode = ssl.CERT_NONE
        try:
            certificate = await _certificate(endpoint, anybody)
        except (OSError, TimeoutError) as error:
            raise RelayUnreachableError(f"{endpoint.shown}: {error or 'timed out'}") from error
        return _PIN + hashlib.sha256(certificate).hexdigest()
    except (OSError, TimeoutError) as error:
        raise RelayUnreachableError(f"{endpoint.shown}: {error or 'timed out'}") from error
    return _AUTHORITIES


async def _certificate(endpoint: RelayEndpoint, context: ssl.SSLContext) -> bytes:
    """The certificate that the relay shows (DER); nothing else is said on this connection."""
    async with asyncio.timeout(TLS_TIMEOUT):
        if endpoint.proxy is None:
            sock = await connect(endpoint.host, endpoint.port)
        else:
            sock = await tunnel(endpoint.proxy, endpoint.host, endpoint.port)
        try:
            _, writer = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname=endpoint.host
            )
        except BaseException:
            sock.close()
            raise
    found: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = found.getpeercert(binary_form=True)
    writer.close()
    return certificate or b""


def _lines(file: Path) -> list[str]:
    try:
        if not file.exists():
            return []
        return file.read_bytes()[:MAX_KNOWN_BYTES].decode("ascii", "replace").splitlines()
    except OSError as error:
        raise StateError(file, f"cannot be read: {error.strerror}") from error


def _write(file: Path, lines: list[str]) -> None:
    private_directory(file.parent)
    write_private(file, "".join(f"{line}\n" for line in lines).encode())


async def plain_http(endpoint: RelayEndpoint) -> str:
    """What must be said about plain http to this relay; empty on loopback, and for https.

    Raises RelayRefusedError when it would cross the open internet without being asked for, and
    RelayUnreachableError for a name that cannot be found.
    """
    if endpoint.scheme == "https" or endpoint.embedded:
        return ""
    where = await _nearness(endpoint)
    if where == "loopback":
        return ""
    if where == "private":
        return (
            f"{endpoint.shown} is plain http: everybody on this network can read the addresses of "
            "sessions and pretend to be the relay"
        )
    text = f"{endpoint.shown} is plain http over a public network: use https"
    if not endpoint.allow_http:
        raise RelayRefusedError("insecure", f"{text} (or allow it with --allow-http)")
    return f"{text}; --allow-http was given"


async def _nearness(endpoint: RelayEndpoint) -> Nearness:
    """That of the farthest address; a name that only the proxy knows counts as public."""
    literal = nearness(endpoint.host)
    if literal is not None:
        return literal
    if endpoint.host == "localhost":
        return "loopback"
    if endpoint.proxy is not None:
        return "public"
    try:
        entries = await resolve(endpoint.host, endpoint.port)
    except OSError as error:
        raise RelayUnreachableError(f"{endpoint.shown}: {error}") from error
    found = {nearness(str(entry.address[0])) for entry in entries}
    if found == {"loopback"}:
        return "loopback"
    return "private" if found <= {"loopback", "private"} else "public"
