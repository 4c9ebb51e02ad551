"""The configuration: read once by the composition root and passed on as values."""

from uptui.config.load import RoleTable, Settings, ValueOrigin, load, unknown_variables
from uptui.config.option import Option
from uptui.config.table import OPTIONS, HostSettings, RelaySection, TuiSettings
from uptui.config.values import Address, PortRange

__all__ = [
    "OPTIONS",
    "Address",
    "HostSettings",
    "Option",
    "PortRange",
    "RelaySection",
    "RoleTable",
    "Settings",
    "TuiSettings",
    "ValueOrigin",
    "load",
    "unknown_variables",
]
