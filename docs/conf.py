"""How the pages become a site: `make docs` builds it offline, and a warning is an error."""

import re
from pathlib import Path

import latex2mathml.converter
from docutils.nodes import SkipNode

from tlsteer._version import __version__

ROOT = Path(__file__).resolve().parents[1]
SOURCE = re.search(r'^Source = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]

project = "tlsteer"
author = "The tlsteer developers"
project_copyright = author
release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "code"  # what stands in single backticks in a docstring is code
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
html_theme = "furo"
html_title = f"tlsteer {__version__}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"


def links_beyond_the_site(app, docname, source):
    """What a page links to in the repository, outside of docs/, is linked to at its public address."""
    folder = (ROOT / "docs" / docname).parent

    def public(link):
        path = (folder / link[1]).resolve()
        outside = path.exists() and not path.is_relative_to(ROOT / "docs")
        return f"]({SOURCE}/blob/main/{path.relative_to(ROOT)})" if outside else link[0]

    source[0] = re.sub(r"\]\((?!\w+:)([^)#\s]+)\)", public, source[0])


def tables_and_bars(app, what, name, thing, options, lines):
    """Docstrings are written for readers of Python: their tables become tables, and |v| stays a norm."""
    out = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            out.append(re.sub(r"\|(\w+)\|", r"\\|\1\\|", line))
        elif set(line) > set("|-"):
            out += [] if out[-1:] and out[-1].startswith("     - ") else [".. list-table::", "   :header-rows: 1", ""]
            out += [f"   * - {cells[0]}", *(f"     - {cell}" for cell in cells[1:])]
    lines[:] = out


def plain_signature(app, what, name, thing, options, signature, returns):
    """Types by their own names, and numbers as numbers, whatever range they are checked for."""

    def plain(text):
        if text is None:
            return None
        text = re.sub(r"~?typing\.Annotated\[(\w+), [^]]*?\)\]", r"\1", text)
        return re.sub(r"~?\b(?:[A-Za-z_]\w*\.)+([A-Za-z_]\w*)", r"\1", text).replace("~", "")

    return plain(signature), plain(returns)


def mathml(self, node):
    """Formulas as MathML, which every browser draws without a script from elsewhere."""
    display = "block" if node.tagname == "math_block" else "inline"
    formula = latex2mathml.converter.convert(node.astext(), display=display)
    self.body.append(f'<div class="math">{formula}</div>' if display == "block" else formula)
    raise SkipNode


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", links_beyond_the_site)
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("autodoc-process-docstring", tables_and_bars, priority=400)  # before napoleon's, which is at 500
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
