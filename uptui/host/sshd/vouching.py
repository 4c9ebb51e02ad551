"""What a host says about the keys that a relay's clients show on the plain way."""

from uptui.core.keys import KeyFormatError, parse_public_key
from uptui.host.sshd.access_control import AccessControl, StreamOrigin
from uptui.host.sshd.client import arrival
from uptui.host.sshd.transport import PREFIX
from uptui.protocol.control import Shown
from uptui.protocol.names import Screening, new_client_id


def screened(access_control: AccessControl, shown: Shown) -> Screening | None:
    """Whether this key may authenticate; None where its client is gone."""
    try:
        key = parse_public_key(shown.key)
    except KeyFormatError:
        return "no"
    origin = StreamOrigin("plain", shown.name, shown.client_host, shown.client_port)
    program = shown.client_version.removeprefix(PREFIX)
    who = arrival(origin, new_client_id(), shown.user, key.text, key.fingerprint, program)
    if not shown.left:
        return access_control.screen(who)
    access_control.knock(who)
    return None
