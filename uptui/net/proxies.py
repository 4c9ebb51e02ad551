"""Chooses the HTTP proxy on the way to a host: the setting, or what the environment says."""

import ipaddress
import os
import sys
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from uptui.errors import ConfigError
from uptui.net.nearness import nearness
from uptui.protocol.names import is_host

NONE: Final = (None, "")


def proxy_for(
    scheme: str,
    host: str,
    port: int,
    configured: str | None = None,
    kinds: Collection[str] = ("http",),
) -> tuple[str | None, str]:
    """The proxy's URL, or None, and where it was said.

    `configured`: a URL, "none", or None for the environment. `kinds`: the schemes that the caller
    can speak to a proxy. Raises ConfigError, naming the variable, for one that cannot be used.
    """
    if configured == "none":
        return NONE
    if configured is not None:
        return configured, "the setting proxy"
    if host == "localhost" or nearness(host) == "loopback":
        return NONE
    proxy, variable = _from_environment(scheme)
    if proxy is None or is_exempt(host, port, _variable("no_proxy")[0]):
        return NONE
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    kind = _kind(proxy)
    if kind not in kinds:
        problem = f"a proxy that speaks {kind!r} cannot be used, only {'://, '.join(kinds)}://"
        if not kind:
            problem = "is not such as http://proxy.example:3128"
        raise ConfigError(
            variable,
            f"{problem}; correct it, unset it, or name {host} in NO_PROXY (on the way to a relay, "
            "--proxy URL and --proxy none come first)",
        )
    return proxy, variable


def _kind(proxy: str) -> str:
    """The scheme of a proxy's URL; empty when it is no URL of one."""
    try:
        parts = urlsplit(proxy)
        usable = is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        return ""
    return parts.scheme if usable else ""


def _from_environment(scheme: str) -> tuple[str | None, str]:
    for name in (f"{scheme}_proxy", "all_proxy"):
        proxy, variable = _variable(name)
        if proxy:
            return proxy, variable
    if sys.platform == "darwin":
        from urllib.request import getproxies

        found: Mapping[str, str] = getproxies()
        return found.get(scheme), "the system's settings"
    return NONE


def _variable(name: str) -> tuple[str, str]:
    """Lower case wins; HTTP_PROXY in capitals is what a CGI client may set by a header `Proxy`."""
    for variable in (name, name.upper()):
        if variable == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ:
            continue
        if value := os.environ.get(variable, "").strip():
            return value, variable
    return "", ""


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY names this host: `*`, a domain, an address, a network, each with a port."""
    return any(_matches(host.lower().rstrip("."), port, item) for item in no_proxy.split(","))


def _matches(host: str, port: int, item: str) -> bool:
    item = item.strip().lower()
    if item == "*":
        return True
    name, colon, number = item.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        item = name
    item = item.strip("[]").rstrip(".")
    if not item:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(item, strict=False)
    except ValueError:
        domain = item.removeprefix("*").removeprefix(".")
        return host == domain or host.endswith(f".{domain}")
