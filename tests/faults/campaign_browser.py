"""Pages of hostile texts in a real browser: nothing in them runs."""

import random
import subprocess

import tlsteer as ts
from tests.chromium import CHROMIUM
from tests.faults.campaign_others import page_with

MARK = "data-ran"
SCRIPT = f"document.documentElement.setAttribute('{MARK}','1')"
RUN_IF_NOT_TEXT = (
    f"<script>{SCRIPT}</script>", f'<img src=x onerror="{SCRIPT}">', f'"><svg onload={SCRIPT}>',
    f"</script><script>{SCRIPT}</script>", f"'><script>{SCRIPT}</script>", f"</title><script>{SCRIPT}</script>",
    f"</textarea><script>{SCRIPT}</script>", f"--><script>{SCRIPT}</script>", f"]]><script>{SCRIPT}</script>",
    f"</style><script>{SCRIPT}</script>", f'<details open ontoggle="{SCRIPT}">',
    f'<iframe srcdoc="<script>parent.{SCRIPT}</script>">', f'<input autofocus onfocus="{SCRIPT}">',
    f"\\u003cscript\\u003e{SCRIPT}\\u003c/script\\u003e", f"${{{SCRIPT}}}",
)  # fmt: skip


def campaign(folder, seed, n_pages):
    """Reports and views, opened one by one; nothing is tried on a machine without Chromium."""
    if CHROMIUM is None:
        return 0, []
    control = folder / "control.html"
    control.write_text(f"<html><body>{RUN_IF_NOT_TEXT[1]}</body></html>")
    failed = [] if _runs(control) else [("control", "", "", AssertionError("its script did not run"))]
    draw = random.Random(seed)
    for _ in range(n_pages):
        text = draw.choice(RUN_IF_NOT_TEXT)
        page_with(folder, lambda text=text: f"{text}{draw.random()}")
        ts.views.view_texts([text, f"words {text}"]).save(folder / "view.html")
        for name in ("page.html", "view.html"):
            if _runs(folder / name):
                failed.append((name, "", text, AssertionError("a text of it ran as a script")))
    return 2 * n_pages, failed


def _runs(page):
    """Whether a script of the page left its mark."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=1500", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert "</html>" in done.stdout
    return f'{MARK}="1"' in done.stdout.partition(">")[0] + done.stdout.partition("<html")[2].partition(">")[0]
