"""The configuration: read once by the composition root and passed on as values."""

from uptui.config.load import Origin, RoleTable, Settings, load, unknown_variables
from uptui.config.option import Option
from uptui.config.table import OPTIONS, HostSettings, RelaySettings, TuiSettings
from uptui.config.values import Address, PortRange

__all__ = [
    "OPTIONS",
    "Address",
    "HostSettings",
    "Option",
    "Origin",
    "PortRange",
    "RelaySettings",
    "RoleTable",
    "Settings",
    "TuiSettings",
    "load",
    "unknown_variables",
]
