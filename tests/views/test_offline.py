"""Views of circuitsvis without a network: complete, apart from one another, and with tokens that stay text."""

import base64
import gzip
import html
import json
import re
import subprocess

import pytest
import torch
from circuitsvis.tokens import colored_tokens
from circuitsvis.utils.render import RenderedHTML
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chromium import CHROMIUM
from tlsteer.errors import TlsteerError
from tlsteer.views import View, offline

from .pages import fetched, parsed

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<b>",
    "<img/src=x/onerror=alert(2)>",
    "<!--",
    "&lt;",
    "\"q\" 'r'",
    "\n",
]


def frame(view):
    """The page inside the view's frame."""
    (page,) = [values["srcdoc"] for tag, values in parsed(view.html).tags if tag == "iframe"]
    return page


def drawn(view):
    """What the page inside asks circuitsvis to draw: the text as written, and its values."""
    (written,) = re.findall(r"^(\[\[.*\]\])\.forEach", frame(view), re.MULTILINE)
    return written, json.loads(written)


def test_nothing_is_fetched():
    view = offline(colored_tokens(HOSTILE, torch.arange(len(HOSTILE)).float()))
    assert not fetched(view.html)
    assert not fetched(frame(view))
    assert "default-src 'none'" in frame(view), "the browser is told to fetch nothing either"


def test_the_frame_holds_the_code_of_circuitsvis():
    (packed,) = re.findall(r'atob\("([^"]*)"\)', frame(offline(colored_tokens(["a"], [1.0]))))
    code = gzip.decompress(base64.b64decode(packed))
    assert code.startswith(b"var CircuitsVis") or b"CircuitsVis=" in code[:200]
    assert b"sourceMappingURL" not in code


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed here")
@pytest.mark.parametrize(("text", "filtered"), [("#eee", "invert(1) hue-rotate(180deg)"), ("#111", None)])
def test_where_text_is_light_the_frame_is_shown_as_its_negative(text, filtered, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f'<body style="color: {text}">{offline(colored_tokens(["a"], [1.0])).html}', encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, timeout=300)
    assert "height: 0" not in done.stdout, "the frame has not drawn"
    found = re.search(r"filter: ([^;]+);", done.stdout)
    assert (found and found[1]) == filtered


def test_several_views_share_the_code():
    one = offline(colored_tokens(["a"], [1.0]))
    many = offline({f"text {i}": colored_tokens(["a"], [1.0]) for i in range(20)})
    assert 300_000 < len(one.html) < 600_000
    assert len(many.html) < len(one.html) + 10_000
    assert frame(many).count("atob(") == 1


def test_views_leave_no_ids_on_the_page():
    view = offline({"first": colored_tokens(["a"], [1.0]), "second": colored_tokens(["b"], [1.0])})
    assert not [values["id"] for _, values in parsed(view.html).tags if "id" in values]
    inside = [values["id"] for _, values in parsed(frame(view)).tags if "id" in values]
    assert inside == ["view-0", "view-1"]


def test_no_element_is_left_open():
    # An open one swallows what stands below it.
    view = offline(colored_tokens(HOSTILE, torch.zeros(len(HOSTILE))), still="<b>still</b>")
    assert parsed(view.html).open == []


@settings(max_examples=30)  # each makes a whole page
@given(st.lists(st.text() | st.sampled_from(HOSTILE), min_size=1, max_size=5))
def test_a_token_is_text_wherever_it_is_put(tokens):
    view = offline(colored_tokens(tokens, [1.0] * len(tokens)))
    written, ((element, values),) = drawn(view)
    assert element == "ColoredTokens"
    # Inside the script no token can end it; and circuitsvis puts tokens into the page as HTML.
    assert "<" not in written
    for token, shown in zip(tokens, values["tokens"], strict=True):
        inside = parsed(shown)
        assert not inside.tags
        assert not inside.comments
        assert "".join(inside.texts).replace("\u2060", "") == token.replace("\u2060", "").replace("\n", "\u21b5\n")


def test_a_caption_is_text():
    view = offline({"<script>alert(1)</script>": colored_tokens(["a"], [1.0])})
    assert html.escape("<script>alert(1)</script>") in frame(view)
    assert len([tag for tag, _ in parsed(frame(view)).tags if tag == "script"]) == 1


def test_what_stands_in_without_scripts_is_kept():
    assert "<em>still</em>" in offline(colored_tokens(["a"], [1.0]), still="<em>still</em>").html


def test_a_view_of_another_make_is_refused():
    with pytest.raises(TlsteerError, match=re.escape("circuitsvis<1.44")):
        offline(RenderedHTML("", "<div>something else</div>"))


def test_a_view_is_saved_as_a_page_of_its_own(tmp_path):
    path = View("a < b", "<p>whole</p>").save(tmp_path / "view.html")
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<title>a &lt; b</title>" in page
    assert "<p>whole</p>" in page
    assert not fetched(page)
