"""What a handler gives back: the answer, or what is still to be done for it."""

from collections.abc import Callable
from typing import TypeAlias

Work: TypeAlias = "Callable[[], Reply]"
"""Done in a thread, in pieces of a fraction of a second: between two of them the session may end,
the role may change, and others have their turn."""
Reply: TypeAlias = "bytes | Work"
"""A whole packet, or the work that leads to one."""
