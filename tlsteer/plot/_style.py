"""What the pictures share: how they are asked to look, colours, new axes, and a frame without ink that says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Literal, TypedDict, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like, to_hex, to_rgb
from matplotlib.figure import Figure

from tlsteer._arguments import checked
from tlsteer._keywords import check_names
from tlsteer.errors import DataError
from tlsteer.plot._fitting import fit, later

Plot = TypeVar("Plot", bound=Callable[..., Any])
Colour = Literal["blue", "orange", "green", "pink", "sky", "red", "yellow", "ink", "grey", "pale", "paper"]

# Okabe and Ito's colours, which colour-blind readers tell apart. Grey is the model as it is, or what is not explained.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, RED, YELLOW, GREY = "#56B4E9", "#D55E00", "#F0E442", "#8C8C8C"
_PALETTE = {"blue": BLUE, "orange": ORANGE, "green": GREEN, "pink": PINK, "sky": SKY, "red": RED, "yellow": YELLOW}
_OWN_SIZE = mpl.rcParamsDefault["figure.figsize"]
# Marks tell lines apart where colours do not, as in print; styles begin where colours are used up.
MARKS, _DASHES = "os^Dv<>P", ("-", "--", ":", "-.")


class Look(TypedDict, total=False):
    """How a picture looks, for every function of `tlsteer.plot`.

    Attributes:
        figsize: of a new figure, in inches; else that of rcParams where it is not matplotlib's own.
        title: in place of the picture's own.
        palette: colours for lines and bars, in their order; else those of rcParams where they are not matplotlib's own.
    """

    figsize: tuple[float, float] | None
    title: str | None
    palette: Sequence[str] | None


@dataclass
class _Wish:
    """The look asked for, and the figures made for it."""

    figsize: tuple[float, float] | None = None
    palette: Sequence[str] | None = None
    made: list[Figure] = field(default_factory=list)

    @property
    def is_sized(self) -> bool:
        """Whether somebody said how large figures are, here or in rcParams."""
        return self.figsize is not None or mpl.rcParams["figure.figsize"] != _OWN_SIZE


_wish: ContextVar[_Wish | None] = ContextVar("wish", default=None)


def draws(plot: Plot) -> Plot:
    """A picture of a table or result, which looks as asked and says what it does not find there."""
    known = [one for one, parameter in signature(plot).parameters.items() if parameter.kind != Parameter.VAR_KEYWORD]

    @wraps(plot)
    def drawing(*arguments: Any, **settings: Any) -> Any:
        check_names(settings, [*known, *Look.__annotations__], f"for {plot.__name__}")
        look = {name: settings.pop(name, None) for name in Look.__annotations__}
        try:
            with _looking(look["figsize"], look["palette"]) as wish:
                drawn = plot(*arguments, **settings)
                _finish(drawn if isinstance(drawn, list) else [drawn], wish, look["title"])
        except KeyError as error:
            raise DataError(f"{plot.__name__} does not find {error} in what it was given to draw") from error
        except (ArithmeticError, IndexError, NameError, TypeError, ValueError) as error:
            raise DataError(f"{plot.__name__} cannot draw what it was given: {error}") from error
        return drawn

    return checked(drawing)  # pyright: ignore[reportReturnType]


def _finish(drawn: list[Axes], wish: _Wish, title: str | None) -> None:
    """Title, legends and labels, on all axes of a figure that was made here, else on those that were given."""
    if wish.figsize is not None and not wish.made:
        raise DataError("figsize is of a new figure; leave it out, or the axes")
    panels = [one for one in drawn[0].figure.axes if one.get_visible()] if wish.made else drawn
    if title is not None:
        _set_title(drawn[0], panels, title, alone=bool(wish.made))
    fit(panels, grows=bool(wish.made) and not wish.is_sized)


@contextmanager
def _looking(figsize: tuple[float, float] | None, palette: Sequence[str] | None) -> Iterator[_Wish]:
    if figsize is not None and not all(0 < side < 1000 for side in figsize):
        raise DataError(f"figsize={figsize} is a width and a height in inches")
    if palette is not None and not (palette and all(map(is_color_like, palette))):
        raise DataError(f"palette={list(palette)} has to be colours that matplotlib knows, at least one")
    wish = _Wish(figsize, palette)
    tokens = _wish.set(wish), later.set(([], []))
    try:
        yield wish
    finally:
        _wish.reset(tokens[0])
        later.reset(tokens[1])


def _set_title(first: Axes, panels: list[Axes], title: str, *, alone: bool) -> None:
    plots = [one for one in panels if one.get_label() != "<colorbar>"]
    if alone and len(plots) > 1:
        first.figure.suptitle(title)
    else:
        first.set_title(title)


def paint(name: Colour) -> str:
    """A colour by what it is in the pictures' own palette; grey is the model as it is, or chance."""
    if name == "ink":
        return mpl.rcParams["text.color"]
    if name == "paper":
        return mpl.rcParams["axes.facecolor"]
    if name == "grey":
        return GREY
    if name == "pale":
        return _mixed(GREY, paint("paper"), 0.35)
    several = _cycle()
    return several[list(_PALETTE).index(name) % len(several)]


def _mixed(one: str, other: str, share: float) -> str:
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(to_rgb(one), to_rgb(other), strict=True))
    return to_hex((red, green, blue))


def _cycle() -> list[str]:
    """The palette in force."""
    wish, own = _wish.get(), mpl.rcParams["axes.prop_cycle"].by_key().get("color", [])
    if wish is not None and wish.palette is not None:
        return list(wish.palette)
    if own and own != mpl.rcParamsDefault["axes.prop_cycle"].by_key()["color"]:
        return list(own)
    return list(_PALETTE.values())


def series(number: int, mark: int | None = None, **more: Any) -> dict[str, Any]:
    """How the line of one series looks: `ax.plot(x, y, **series(0))`.

    Args:
        number: of the series, which gives its colour.
        mark: its mark; that of the number by default.
        more: further settings of the line, in place of these.
    """
    several = _cycle()
    turn = number if mark is None else mark
    return {
        "color": several[number % len(several)],
        "marker": MARKS[turn % len(MARKS)],
        "linestyle": _DASHES[(number // len(several) if mark is None else mark) % len(_DASHES)],
        "markersize": 4,
        **more,
    }


def chance(**more: Any) -> dict[str, Any]:
    """How lines of random vectors look, in every picture: grey dashes with a cross, which is seen at a single place."""
    return {"color": GREY, "linestyle": "--", "marker": "x", "markersize": 4.5, "linewidth": 1.1, **more}


def on(background: Any) -> str:
    """Black or white, whichever is read on a colour; not quite, so that pages do not take them for ink or paper."""
    red, green, blue = to_rgb(background)
    return "#010101" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "#fefefe"


def new_axes(width: float = 6.4, height: float = 4.8) -> Axes:
    """Axes on a figure of their own, in inches, laid out so that labels around them fit."""
    return new_figure(width, height).subplots()


def new_figure(width: float, height: float) -> Figure:
    """A figure of the size asked for, else of that of rcParams where it is not matplotlib's own, else of this."""
    wish = _wish.get() or _Wish()
    size = wish.figsize or (mpl.rcParams["figure.figsize"] if wish.is_sized else (width, height))
    figure = plt.figure(figsize=size, layout="constrained")
    wish.made.append(figure)
    return figure


def counted(several: Iterable[Any]) -> str:
    """How many samples pictures say that there are: "24", or "24 or 31"."""
    return " or ".join(map(str, sorted({int(n) for n in several})))


def tidy(ax: Axes) -> Axes:
    """Takes the upper and right lines of the frame away."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax
