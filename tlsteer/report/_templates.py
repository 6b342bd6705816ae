"""What all pages share: their templates, and a policy by which only their own style and script count."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tlsteer._storage import write_atomically
from tlsteer._version import __version__


def rendered(template: str, **values: Any) -> str:
    """A page as HTML; every value is escaped."""
    environment = Environment(
        loader=PackageLoader("tlsteer.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, script = (_own_file(name) for name in ("page.css", "page.js"))
    own = {"style": style, "script": script, "style_hash": _hash(style), "script_hash": _hash(script)}
    return environment.get_template(template).render(**values, **own, version=__version__)


def write_page(path: str | Path, page: str) -> Path:
    """Writes it, whole or not at all; half of a surrogate pair, which a text may hold, has no place in a file."""
    return write_atomically(path, page.encode(errors="replace"))


def served_policy() -> str:
    """What a server says of these pages: the script of this version is all that runs in them, whoever wrote them."""
    own = f"script-src 'sha256-{_hash(_own_file('page.js'))}'; style-src 'unsafe-inline'"
    return f"default-src 'none'; img-src data:; {own}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _own_file(name: str) -> Markup:
    """A file of this package, which may stand in the page as it is."""
    return Markup(files("tlsteer.report").joinpath(name).read_text(encoding="utf-8"))


def _hash(content: str) -> str:
    """By which the page's policy knows its own style and script, so that no other runs."""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
