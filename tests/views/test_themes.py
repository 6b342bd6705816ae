"""Results and views are read in light and dark notebooks of VS Code and Colab, in pages made like theirs.

Both tell outputs their theme by the colour of text that they inherit: VS Code in a page whose body is `vscode-dark`,
Colab in a sandboxed frame whose root is `theme=dark`. Neither says it by `prefers-color-scheme`, which is the system's.
"""

import html

import pytest
import torch
from circuitsvis.tokens import colored_tokens

pytest.importorskip("playwright", reason="playwright is not installed, so no page is opened")

import tlsteer as ts
from tests.chromium import CHROMIUM, launched
from tests.plot.gallery import task_scores
from tests.small_models import loaded
from tlsteer.views import offline, view_next_tokens, view_texts, view_trial

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here, so no page is opened"),
]
STILL = "tokens without scripts"
# Colours of circuitsvis leave 4, tints more; letters of the colour of their ground have 1.
READ = 3.9

# How far what is written stands out from what is behind it, for every text that shows (WCAG 2's contrast).
CONTRASTS = """() => {
  const parts = (colour) => {
    const [red, green, blue, alpha = 1] = colour.match(/[0-9.]+/g).map(Number);
    return { rgb: [red, green, blue], alpha };
  };
  const over = (top, alpha, bottom) => top.map((one, i) => alpha * one + (1 - alpha) * bottom[i]);
  const behind = (element) => {
    if (element === null) return [255, 255, 255];
    const { rgb, alpha } = parts(getComputedStyle(element).backgroundColor);
    return alpha === 1 ? rgb : over(rgb, alpha, behind(element.parentElement));
  };
  const opacity = (element) => element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
  const light = (rgb) => {
    const [r, g, b] = rgb.map((one) => (one /= 255) <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), on = walker.currentNode.parentElement;
    if (!text || !on.checkVisibility() || !on.getClientRects().length) continue;
    const ground = behind(on), { rgb, alpha } = parts(getComputedStyle(on).color);
    const lights = [light(over(rgb, alpha * opacity(on), ground)), light(ground)].sort((a, b) => a - b);
    found.push([text, (lights[1] + 0.05) / (lights[0] + 0.05)]);
  }
  return found;
}"""


def vscode(theme, output):
    """A notebook's outputs in VS Code: colours are variables of the root, and text has the editor's."""
    text, paper = {"dark": ("#cccccc", "#1f1f1f"), "light": ("#3b3b3b", "#ffffff")}[theme]
    return f"""<html style="--vscode-editor-foreground: {text}; --vscode-editor-background: {paper}"><head>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; script-src 'unsafe-inline';
 style-src 'unsafe-inline'; child-src data:">
<style>body {{ color: var(--vscode-editor-foreground); background: var(--vscode-editor-background) }}
thead {{ background-color: rgba(130, 130, 130, 0.16) }}
tr:nth-child(even) {{ background-color: rgba(130, 130, 130, 0.08) }}</style></head>
<body class="vscode-{theme}" data-vscode-theme-kind="vscode-{theme}"><div class="output">{output}</div></body></html>"""


def colab(theme, output, sandbox="allow-scripts allow-same-origin"):
    """An output in Colab: a frame of its own that cannot reach the notebook."""
    text, paper = {"dark": ("#e3e3e3", "#383838"), "light": ("#1f1f1f", "#ffffff")}[theme]
    inside = f"""<html theme="{theme}"><style>html {{ background: {paper} }} body {{ color: {text} }}</style>
<body>{output}</body></html>"""
    return f"""<body style="background: {paper}">
<iframe sandbox="{sandbox}" style="width: 100%; height: 1800px; border: 0" srcdoc="{html.escape(inside)}"></iframe>"""


def sealed_colab(theme, output):
    """The same where the frame may not even read what it has drawn itself."""
    return colab(theme, output, "allow-scripts")


@pytest.fixture(scope="module")
def output():
    """One of each that sets colours."""
    model, vector = loaded("llama"), ts.SteeringVector(torch.ones(32), 1)
    trial = ts.trials.Trial("Hello", [ts.Intervention(vector)], max_new_tokens=4)
    shown = [
        task_scores(),
        view_texts({"unsteered": ["just kidding"], "steered": ["a text"]}, {"retraction": ["kidding"]}),
        view_trial(trial.stream(model)),
        view_next_tokens(model, vector, "Hello"),
        offline(colored_tokens(["a", " lamp"], torch.tensor([1.0, -1.0])), still=STILL),
    ]
    return "\n".join(f"<div>{one._repr_html_()}</div>" for one in shown)


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.mark.parametrize(("theme", "system"), [("light", "dark"), ("dark", "light")])
@pytest.mark.parametrize("shown", [vscode, colab, sealed_colab])
def test_every_text_stands_out_whatever_the_system_prefers(shown, theme, system, output, browser, tmp_path):
    file = tmp_path / "notebook.html"
    file.write_text(shown(theme, output), encoding="utf-8")
    page = browser.new_page(viewport={"width": 900, "height": 1900}, color_scheme=system)
    page.set_default_timeout(600_000)  # a busy machine is no failure
    page.goto(file.as_uri())
    frame = page.frames[shown is not vscode]
    drawn = shown is not sealed_colab
    frame.get_by_text(STILL).wait_for(state="hidden" if drawn else "visible")
    # What circuitsvis draws on white paper is shown as its negative.
    seen = "invert(1) hue-rotate(180deg)" if drawn and theme == "dark" else ""
    frame.wait_for_function("seen => document.querySelector('iframe').style.filter === seen", arg=seen)
    found = [pair for one in page.frames for pair in one.evaluate(CONTRASTS)]
    assert {"retraction", "unsteered", "likelier"} <= {text for text, _ in found}
    assert [(text, round(contrast, 1)) for text, contrast in found if contrast < READ] == []
    page.close()
