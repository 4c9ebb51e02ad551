"""A small status page for people who open the relay's address in a browser."""

from html import escape
from typing import Final

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from uptui.relay.api.access import Relay
from uptui.relay.api.operations import status_of
from uptui.relay.services import RelayServices

router = APIRouter(include_in_schema=False)

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_HOSTING: Final = {
    "open": "Everybody may share a machine here.",
    "join-token": "Sharing a machine here needs the relay's join token.",
    "keys": "Sharing a machine here needs a key that the operator has listed.",
    "accounts": "Sharing a machine here needs an account.",
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>uptui relay {host}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}}
code,pre{{font:14px ui-monospace,monospace;background:#8882;padding:.1em .3em;border-radius:4px}}
pre{{padding:.8em;white-space:pre-wrap;overflow-wrap:anywhere}}
dt{{font-weight:600}}:root{{color-scheme:light dark}}</style>
</head><body><h1>uptui relay</h1>
<p><strong>{mark} {status}</strong>, {hosts} {noun} connected, version {version}.</p>
<p>{hosting}</p>
<pre>uptui --relay {url}</pre>
<dl><dt>Jump and plain way</dt><dd>{ssh}</dd><dt>Direct ports</dt><dd>{ports}</dd>
<dt>API</dt><dd><a href="/openapi.json">openapi.json</a></dd></dl>
</body></html>
"""


@router.get("/", response_class=HTMLResponse)
async def status_page(relay: Relay) -> HTMLResponse:
    """Say what this is and how to use it; names nobody who uses it."""
    return HTMLResponse(_render(relay), headers=_HEADERS)


def _render(relay: RelayServices) -> str:
    info = relay.info
    hosts = len(relay.live.live_hosts())
    ports = "none" if info.port_first is None else f"{info.port_first}-{info.port_last}"
    ssh = "none" if info.ssh_port is None else f"ssh port {info.ssh_port}"
    status = status_of(relay)
    return _PAGE.format(
        host=escape(info.public_host),
        mark="●" if status == "up" else "⏸",
        status=status.upper(),
        hosts=hosts,
        noun="host" if hosts == 1 else "hosts",
        version=escape(info.version),
        hosting=_HOSTING[info.hosting],
        url=escape(relay.join_url),
        ssh=ssh,
        ports=ports,
    )
