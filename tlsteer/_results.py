"""What every result of a measurement does: it shows itself in words, as a picture and as a table."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar

from markupsafe import Markup, escape

from tlsteer.errors import TlsteerError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_INCHES, _DOTS_PER_INCH, _MOST_ROWS = (6.0, 3.4), 110, 12


class Result:
    """A result; a notebook shows its headline, its picture and the first rows of its table.

    >>> found.headline, found.plot(), found.to_dataframe()
    """

    # Pictures stand above results, so theirs is known by its name in `tlsteer.plot`.
    _picture: ClassVar[str]
    _next: ClassVar[str] = ""

    @property
    def headline(self) -> str:
        """What was found, in one sentence."""
        return repr(self).partition("\n")[0]

    def to_dataframe(self) -> pd.DataFrame:
        """The numbers as a table, one row per estimate or setting."""
        raise NotImplementedError

    def plot(self, ax: Axes | None = None, **settings: Any) -> Axes:
        """Draws the result's main picture; gives its axes, the first where there are several panels.

        Args:
            ax: where to draw; new axes by default.
            settings: of the function of `tlsteer.plot` that draws it.
        """
        name, drawn = self._drawing()
        axes = getattr(import_module("tlsteer.plot"), name)(drawn, ax=ax, **{**self._settings(), **settings})
        return axes[0] if isinstance(axes, list) else axes

    def _drawing(self) -> tuple[str, Any]:
        """The picture's name and what it is drawn from."""
        return self._picture, self

    def _settings(self) -> Mapping[str, Any]:
        """Of the function that draws it."""
        return {}

    def _repr_html_(self) -> str:
        table = self.to_dataframe()
        rows = Markup(table.head(_MOST_ROWS).to_html(index=False, border=0, float_format="{:.3g}".format))
        left = len(table) - _MOST_ROWS
        more = f"{left} further rows: .to_dataframe(). " if left > 0 else ""
        parts = [escape(self.headline), self._picture_html(), rows, escape(f"{more}{self._next}")]
        page = Markup("\n").join(Markup("<div>{}</div>").format(part) for part in parts if part)
        return page.encode(errors="replace").decode()  # half a character, which a text may hold, cannot be shown

    def _picture_html(self) -> Markup:
        from matplotlib.figure import Figure

        figure = Figure(figsize=_INCHES, layout="constrained")  # apart from pyplot, which would show it once more
        try:
            self.plot(ax=figure.subplots())
        except TlsteerError as error:
            return escape(f"No picture: {error}")
        content = BytesIO()
        figure.savefig(content, format="png", dpi=_DOTS_PER_INCH)
        source = b64encode(content.getvalue()).decode()
        return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(self.headline, source)
