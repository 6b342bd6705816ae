"""The page's script in a real browser: tables sort, texts are compared word by word, addresses bring a state back."""

import re
import subprocess
from dataclasses import replace

import pandas as pd
import pytest

from tests.chromium import CHROMIUM
from tests.studies.example import example
from tlsteer import report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed here"),
]
ANSWERS = {"unsteered": "I cannot help you with that", "steered": "I can help you with a zevbax"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    rows = [{"prompt": f"prompt {i}", "condition": condition, "text": f"{text} {i}", "served": condition == "steered"}
            for i in range(40) for condition, text in ANSWERS.items()]  # fmt: skip
    table = pd.DataFrame({"name": ["b", "a", "c"], "value": [2.0, 10.0, float("nan")]})
    result = replace(example(), texts=pd.DataFrame(rows), tables=example().tables | {"Sorted": table})
    return report.write(result, tmp_path_factory.mktemp("page") / "page.html")


def shown(page, address="", first=""):
    """The page as it stands once its script, and one more at its end, have run."""
    if first:
        source = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))
        page = page.with_name("acted.html")
        page.write_text(source.replace("</body>", f"<script>{first}</script></body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run(
        [CHROMIUM, *options, page.as_uri() + address], capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout


def test_texts_are_compared_word_by_word_and_the_address_says_so(page):
    dom = shown(page, "#texts?against=0&search=prompt+7")
    assert dom.count('<article class="prompt"') == 1
    found = re.search(r'id="prompt-7-1".*?<p dir="auto">(.*?)</p>', dom, re.DOTALL)
    assert found is not None
    assert found[1] == "I <del>cannot </del><ins>can </ins>help you with <del>that </del><ins>a zevbax </ins>7"


def test_the_address_of_a_text_shows_it_though_it_is_far_down(page):
    assert 'id="prompt-35-1"' not in shown(page)
    assert 'id="prompt-35-1"' in shown(page, "#prompt-35-1")


def test_filters_change_the_address(page):
    act = """
      document.getElementById("search").value = "zevbax";
      document.getElementById("filters").dispatchEvent(new Event("input"));
      document.title = location.hash;
    """
    assert "<title>#texts?search=zevbax</title>" in shown(page, first=act)


def test_tables_sort_by_their_numbers_and_what_is_undefined_is_last(page):
    act = """
      const table = [...document.querySelectorAll(".sortable")].at(-2);
      const button = [...table.querySelectorAll("button")].at(-1);
      const names = () => [...table.tBodies[0].rows].map((row) => row.children[0].textContent).join("");
      button.click();
      const up = names();
      button.click();
      document.title = `${up} ${names()} ${button.closest("th").getAttribute("aria-sort")}`;
    """
    assert "<title>bac abc descending</title>" in shown(page, first=act)
