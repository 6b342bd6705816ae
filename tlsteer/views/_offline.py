"""The views of circuitsvis, shown without a network and safe next to one another.

As circuitsvis writes them they load their code from a content network (its copy of the code for use without one lets
a second view on the page vanish), and tokens go into the page as HTML, scripts and all.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from circuitsvis.utils.render import RenderedHTML
from markupsafe import Markup

from tlsteer._arguments import checked
from tlsteer._token_labels import LINE_END
from tlsteer.errors import TlsteerError
from tlsteer.views._view import View, template

_CALL = re.compile(r'render\(\s*"[\w-]+",\s*(\w+),\s*(\{.*\})\s*\)\s*</script>', re.DOTALL)

# Not a space, and of no width: a browser takes "<" or "&" before it for the character alone.
_WORD_JOINER = "\u2060"

# What is shown without scripts stands first, and goes where the frame has drawn its own.
_SWAP = """\
<div>
<div>{{ still }}</div>
<iframe srcdoc="{{ page }}" title="{{ title }}" style="width: 100%; height: 0; border: 0"></iframe>
</div>
"""

_FRAME = """\
<!doctype html>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<body style="margin: 0; padding-bottom: 48px; background: white; color: black; font: 14px sans-serif">
{% for caption in captions %}
<div>{{ caption }}</div>
<div id="view-{{ loop.index0 }}"></div>
{% endfor %}
<script type="module">
const packed = Uint8Array.from(atob("{{ code }}"), (character) => character.charCodeAt(0));
const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
const script = document.createElement("script");
script.textContent = await new Response(unpacked).text();
document.head.append(script);
{{ calls }}.forEach(([element, values], i) => CircuitsVis.render(`view-${i}`, CircuitsVis[element], values));
const fit = () => {
  frameElement.style.height = `${document.body.offsetHeight}px`;
  // Circuitsvis draws for white paper: where the text around is light, the frame is shown as its own negative.
  const [red, green, blue] = getComputedStyle(frameElement.parentElement).color.match(/[0-9.]+/g).map(Number);
  const isDark = 0.3 * red + 0.59 * green + 0.11 * blue > 128;
  frameElement.style.filter = isDark ? "invert(1) hue-rotate(180deg)" : "";
};
new ResizeObserver(fit).observe(document.body);
frameElement.previousElementSibling.style.display = "none";
</script>
"""


_NO_SCRIPTS = "<em>This view is drawn by scripts: it shows once the notebook is trusted.</em>"


@checked
def offline(
    views: RenderedHTML | Mapping[str, RenderedHTML], *, still: str = _NO_SCRIPTS, title: str = "circuitsvis"
) -> View:
    """Views of circuitsvis that need no network: one, or several by caption, which share 0.5 MB.

    Each call gives a frame that holds its own copy of circuitsvis's code, so that any of them can be shown, moved or
    deleted without the others. What tokens hold is shown as text.

    Args:
        views: what a function of circuitsvis returns, or several such by caption, shown one below the other.
        still: HTML to show where scripts may not run: notebooks not trusted yet, and sites that show notebooks.
        title: what they show, in one line.

    Raises:
        TlsteerError: a view written in another way than those of circuitsvis 1.43.

    >>> from circuitsvis.attention import attention_patterns
    >>> offline(attention_patterns(["a", " lamp"], np.ones((1, 2, 2)) / 2))
    """
    by_caption = views if isinstance(views, Mapping) else {"": views}
    # "<" would let a text end the script it stands in.
    calls = json.dumps([_call(view) for view in by_caption.values()]).replace("<", "\\u003c")
    page = template(_FRAME).render(calls=Markup(calls), captions=list(by_caption), code=_code())
    return View(title, template(_SWAP).render(page=page, still=Markup(still), title=title))


def _call(view: RenderedHTML) -> tuple[str, Any]:
    """The name of the element that draws a view, and what it is given."""
    found = _CALL.search(view.cdn_src)
    if found is None:
        raise TlsteerError(
            "this view is written in another way than those of circuitsvis 1.43; install circuitsvis<1.44"
        )
    return found[1], _as_text(json.loads(found[2]))


def _as_text(value: Any) -> Any:
    """The same with texts that stay texts where they are put into a page as HTML, and line ends that show."""
    if isinstance(value, str):
        return re.sub("[<&]", rf"\g<0>{_WORD_JOINER}", re.sub(f"{LINE_END}?\n", f"{LINE_END}\n", value))
    if isinstance(value, dict):
        return {name: _as_text(one) for name, one in value.items()}
    return [_as_text(one) for one in value] if isinstance(value, list) else value


@cache
def _code() -> str:
    """The code of circuitsvis as it was installed, compressed."""
    code = (files("circuitsvis") / "dist" / "cdn" / "iife.js").read_bytes()
    without_map = re.sub(rb"//# sourceMappingURL=\S+\s*$", b"", code)
    return base64.b64encode(gzip.compress(without_map, mtime=0)).decode()
