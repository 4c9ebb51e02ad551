"""The colours: calm, blue and orange before red and green."""

from typing import Final

from textual.theme import Theme

DEFAULTS: Final = {"frame": "#46536a", "good": "#6cb6ff", "muted": "#8593a8"}
"""Our own variables, for themes that do not set them."""

UPTUI: Final = Theme(
    name="uptui",
    primary="#6cb6ff",
    secondary="#a6b1c4",
    accent="#ffb454",
    warning="#ff9e3d",
    error="#ff6f6f",
    success="#6cb6ff",
    foreground="#d7dde8",
    background="#10141b",
    surface="#151a23",
    panel="#1b212c",
    dark=True,
    variables={
        **DEFAULTS,
        "input-selection-background": "#6cb6ff 35%",
        "block-cursor-text-style": "none",
    },
)
