"""Colours that let what is behind them through, so that texts are read on light pages and dark ones.

Views set no colour of text and no background of their own: they are those of the notebook, whatever its theme. What
is written here is a form that notebooks keep where they have not been trusted yet.
"""

# Of lines between rows, and of panels, in whatever theme.
LINE, PANEL = "rgba(128, 128, 128, 0.4)", "rgba(128, 128, 128, 0.08)"
NONE = "transparent"

# More of a colour would make text hard to read: on dark pages, orange leaves light text a contrast of 4.5.
_MOST = 0.4


def tint(colour: str, share: float) -> str:
    """A colour such as "#0072B2" over what is behind it: nothing of it at share 0, as much as can be read on at 1."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {_MOST * share:.2f})"
