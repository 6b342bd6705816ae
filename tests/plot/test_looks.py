"""Pictures look as asked at every size: kept ones stay as they were, words lie apart, chance is grey dashes."""

import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.plot.gallery import PICTURES, changes, sweep
from tlsteer import plot
from tlsteer.errors import DataError

KEPT = Path(__file__).parent / "kept"
COLUMN = (3.25, 2.6)
COMPARED = ["plot_sweep", "plot_sweep one layer", "plot_losses", "plot_rates", "plot_effects", "plot_attacks",
            "plot_steerability_by_layer", "plot_rate_by_layer"]  # fmt: skip
# Letters differ between builds of FreeType, so pictures are compared in tiles of this many pixels.
TILE, DIFFERENT = 10, 14.0


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def drawn(name, **look):
    found = PICTURES[name](**look)
    return found[0] if isinstance(found, list) else found


def tiles(image):
    grey = np.asarray(image.convert("RGB"), float)
    height, width = (side // TILE * TILE for side in grey.shape[:2])
    return grey[:height, :width].reshape(height // TILE, TILE, width // TILE, TILE, 3).mean((1, 3))


def image_of(ax):
    content = io.BytesIO()
    ax.figure.savefig(content, dpi=60, format="png")
    return Image.open(content)


def apart(one, other):
    """The mean difference of the tiles that differ most; large where the pictures have another size."""
    if one.shape != other.shape:
        return 255.0
    return float(np.sort(np.abs(one - other).max(-1).ravel())[-one.shape[0] * one.shape[1] // 20 :].mean())


@pytest.mark.parametrize("name", COMPARED)
def test_a_picture_looks_as_the_kept_one(name, request):
    image, file = image_of(drawn(name, figsize=COLUMN)), KEPT / f"{name.replace(' ', '-')}.png"
    if request.config.getoption("--keep-pictures"):
        made_by = PngInfo()
        made_by.add_text("Software", f"matplotlib {matplotlib.__version__}")
        image.convert("RGB").quantize(32).save(file, optimize=True, pnginfo=made_by)
    kept = Image.open(file)
    drawer = kept.info["Software"].rpartition(".")[0]
    if not f"matplotlib {matplotlib.__version__}".startswith(f"{drawer}."):
        pytest.skip(f"kept as {drawer} lays it out, and this is {matplotlib.__version__}: not compared")
    assert apart(tiles(image), tiles(kept)) < DIFFERENT * 2


def test_kept_pictures_are_told_from_each_other():
    kept = [tiles(Image.open(file)) for file in sorted(KEPT.glob("*.png"))]
    assert len(kept) == len(COMPARED)
    for number, one in enumerate(kept):
        assert min(apart(one, other) for other in kept[number + 1 :] or [255 - one]) > DIFFERENT * 2


def words(ax):
    """The boxes of all that is written in a figure and shown."""
    ax.figure.canvas.draw()
    for panel in ax.figure.axes:
        if panel.get_visible():
            yield from (text for text in [panel.xaxis.label, panel.yaxis.label, panel.title] if text.get_text())
            for number, (axis, ends) in enumerate(((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim()))):
                low, high = sorted(ends)
                written = [label for label in axis.get_ticklabels() if label.get_text()]
                yield from (label for label in written if low <= label.get_position()[number] <= high)


def inside(ax, boxes):
    page = ax.figure.bbox
    return all(page.x0 - 2 <= box.x0 and box.x1 <= page.x1 + 2 for box in boxes)


@pytest.mark.parametrize("name", ["plot_sweep", "plot_rates", "plot_attacks"])
def test_a_column_of_a_paper_holds_words_panel_and_legend_apart(name):
    ax = drawn(name, figsize=COLUMN)
    page, boxes = ax.figure.bbox, [text.get_window_extent() for text in words(ax)]
    assert inside(ax, boxes)
    legend = ax.get_legend().get_window_extent()
    assert not any(legend.overlaps(box.shrunk(0.9, 0.9)) for box in boxes)
    assert not legend.overlaps(ax.bbox)
    assert ax.bbox.width * ax.bbox.height > 0.12 * page.width * page.height


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_drawn_in_a_column_of_a_paper_with_its_words_inside(name):
    ax = drawn(name, figsize=COLUMN)
    assert inside(ax, [text.get_window_extent() for text in words(ax)])
    for legend in filter(None, (panel.get_legend() for panel in ax.figure.axes)):
        entries = [text.get_text() for text in legend.get_texts()]
        assert len(entries) == len(set(entries))


def test_the_look_is_as_asked():
    ax = plot.plot_changes(changes(), figsize=(4, 3), title="Found", palette=["red", "#00ff00"])
    assert ax.figure.get_size_inches().tolist() == [4, 3]
    assert ax.get_title() == "Found"
    assert [line.get_color() for line in ax.lines] == ["red", "#00ff00"] * 2
    # Where colours are used up, lines are told apart by their style and mark.
    assert ax.lines[0].get_linestyle() != ax.lines[2].get_linestyle()
    assert len({line.get_marker() for line in ax.lines}) == 4


def test_sizes_colours_and_fonts_follow_rcparams():
    own = {"figure.figsize": (5, 2), "axes.prop_cycle": plt.cycler(color=["#123456"]), "font.size": 5}
    with plt.rc_context(own):
        ax = plot.plot_changes(changes())
    assert ax.figure.get_size_inches().tolist() == [5, 2]
    assert {line.get_color() for line in ax.lines} == {"#123456"}
    assert ax.get_legend().get_texts()[0].get_fontsize() < 5


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({"titel": "a"}, "did you mean 'title'"),
        ({"figsize": (0, 1)}, "a width and a height in inches"),
        ({"palette": ["reddish"]}, "colours that matplotlib knows"),
        ({"palette": []}, "at least one"),
        ({"figsize": (3, 2), "ax": True}, "figsize is of a new figure"),
    ],
)
def test_a_look_that_cannot_be_is_refused(look, said):
    given = look | {"ax": plt.subplots()[1]} if "ax" in look else look
    with pytest.raises(DataError, match=said):
        plot.plot_changes(changes(), **given)


def test_random_vectors_are_grey_dashes_with_a_mark_even_at_a_single_layer():
    for name in ("plot_sweep one layer", "plot_rate_by_layer one layer", "plot_flips", "plot_trace"):
        ax = drawn(name)
        random = [line for panel in ax.figure.axes for line in panel.lines if "random" in str(line.get_label())]
        assert random
        for line in random:
            assert (line.get_linestyle(), line.get_marker()) == ("--", "x")
            assert np.ptp(to_rgb(line.get_color())) == 0


@pytest.mark.slow
def test_many_crossing_lines_have_a_panel_each_and_few_share_one():
    assert len([ax for ax in drawn("plot_sweep many").figure.axes if ax.get_visible()]) == 8
    assert len(drawn("plot_sweep").figure.axes) == 1


def test_only_few_bands_lie_on_one_another():
    _, ax = plt.subplots()
    plot.plot_sweep(sweep(("a", "b", "c", "d"), layers=range(3)), ax=ax)
    curves = [one for one in ax.collections if one.get_facecolor().size and np.ptp(one.get_facecolor()[0, :3]) > 0]
    assert not curves


def test_in_dark_styles_nothing_is_drawn_in_the_colour_of_the_paper():
    with plt.style.context("dark_background"):
        ax = drawn("plot_effect_against_side_effect")
        ax.figure.canvas.draw()
        assert not [line for line in ax.lines if to_rgb(line.get_color()) == (0, 0, 0)]
        assert {to_rgb(text.get_color()) for text in words(ax)} == {(1.0, 1.0, 1.0)}
