"""The page in a real browser: wide and narrow, light and dark, by mouse and by keyboard, with texts that stay texts."""

import re
import threading

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("playwright", reason="playwright is not installed, so no page is opened")

import tlsteer as ts
from tests.chromium import CHROMIUM, launched
from tests.small_models import loaded
from tests.ui.bench import HOSTILE, asked, served, small_bench, vector
from tests.ui.test_app import trial

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here, so no page is opened"),
]
SHORT = "<img src=x onerror=\"document.title='ran'\">"
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with served(small_bench(), tmp_path_factory.mktemp("runs")) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture
def opened(browser, address):
    """Opens the page, waits for its first trial, and sees in the end that nothing went wrong in it."""
    contexts, wrong = [], []

    def opened(viewport=WIDE, **settings):
        context = browser.new_context(viewport=viewport, **settings)
        context.set_default_timeout(600_000)  # a busy machine is no failure
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asks: None if asks.url.startswith(address) else wrong.append(f"asks for {asks.url}"))
        page.goto(address)
        done(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def done(page):
    page.locator("#state", has_text=re.compile("^done")).wait_for()


def run_again(page):
    """Runs what is set now, and waits for its end."""
    page.locator("#state").evaluate("element => element.textContent = ''")
    page.keyboard.press("Control+Enter")
    done(page)


def texts(page):
    return {
        card.get_attribute("aria-label"): "".join(card.locator(".token").all_text_contents())
        for card in page.locator("article").all()
    }


def said(prompt, *interventions, n=60):
    return ts.generate(loaded("gpt2"), prompt, interventions, max_new_tokens=n)[0]


def test_the_first_trial_shows_what_generate_gives(opened):
    page = opened()
    prompt = ts.chat_prompt(loaded("gpt2"), "Hello")
    shown = texts(page)
    assert list(shown) == ["unsteered", "steered", "random vector"]
    assert shown["unsteered"] == said(prompt)
    assert shown["steered"] == said(prompt, vector(1))
    effect = page.locator("article.steered .effect b").inner_text()
    applied = [asked()["applied"][0] | {"multiplier": 1}]
    events = trial(page.url, max_new_tokens=60, applied=applied)
    kl = [one["kl"] for one in events if one["kind"] == "step" and one["name"] == "steered"]
    assert float(effect) == pytest.approx(sum(kl) / len(kl), abs=0.05)


def test_moving_a_multiplier_to_zero_gives_the_unsteered_text(opened):
    page = opened()
    slider = page.get_by_label("Multiplier of calm", exact=True)
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "0"
    page.locator("article.steered .effect b", has_text=re.compile(r"^0\.00$")).wait_for()
    done(page)
    shown = texts(page)
    assert shown["steered"] == shown["unsteered"] == shown["random vector"]


def test_hostile_names_prompts_and_errors_stay_text(opened):
    page = opened()
    assert page.get_by_role("group", name=HOSTILE).count() == 1
    page.get_by_text("Settings").click()
    page.get_by_label("New tokens").fill("2")
    page.get_by_label("Message").fill(SHORT)
    run_again(page)
    page.get_by_label("Steered tokens").fill(f"after:{HOSTILE}")
    page.keyboard.press("Control+Enter")
    page.locator("#messages .error", has_text="</textarea></script><script>").wait_for()
    page.get_by_role("button", name="Continue with this answer").first.click()
    assert page.locator("#turns p").first.inner_text() == SHORT
    assert page.title() != "ran"
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 1, "that of the heading"


def test_the_page_works_by_keyboard_alone(opened):
    page = opened()
    page.get_by_label("Chat").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("Text", exact=True).is_checked()
    page.get_by_label("Text to continue").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("What is it?")
    run_again(page)
    assert texts(page)["unsteered"] == said("What is it?")
    tokens = page.get_by_role("listbox", name="steered: tokens", exact=True)
    tokens.focus()
    page.keyboard.press("Home")
    first = page.locator("#next-rows").inner_text()
    assert tokens.locator(".token").first.get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowRight")
    assert page.locator("#next-rows").inner_text() != first
    assert tokens.locator(".token").nth(1).get_attribute("aria-selected") == "true"
    page.get_by_role("button", name="Copy as Python").focus()
    page.keyboard.press("Enter")
    page.locator("#script-text", has_text="prompt = 'What is it?'").wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("#script").is_visible()


def test_every_control_is_reached_by_tab_in_the_order_of_the_page(opened):
    page = opened()
    page.locator(".skip").focus()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        where = page.evaluate(
            "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.type"
        )
        if where == "theme" and reached:
            break
        reached.append(where)
    wanted = ["theme", "prompts", "said", "Multiplier of calm", "run", "live", "save", "python", "unsteered: tokens"]
    assert [one for one in reached if one in wanted] == wanted


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(opened, viewport, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = opened(viewport, color_scheme=scheme, bypass_csp=True)
    page.get_by_text("Settings").click()
    page.get_by_text("System message").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    found = axe.Axe().run(page).response["violations"]
    page.get_by_role("button", name="Copy as Python").click()
    page.locator("#script-text").wait_for()
    found += axe.Axe().run(page).response["violations"]
    assert not [
        (one["id"], node["target"], node["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_an_answer_becomes_part_of_the_conversation(opened):
    page = opened()
    page.get_by_text("Settings").click()
    page.get_by_label("New tokens").fill("4")
    run_again(page)
    answer = said(ts.chat_prompt(loaded("gpt2"), "Hello"), vector(1), n=4)
    page.locator("article.steered").get_by_role("button", name="Continue with this answer").click()
    assert page.locator("#turns li").count() == 2
    page.get_by_label("Message").fill("Why?")
    run_again(page)
    messages = [("user", "Hello"), ("assistant", answer), ("user", "Why?")]
    prompt = ts.chat_prompt(loaded("gpt2"), [{"role": role, "content": text} for role, text in messages])
    assert texts(page)["unsteered"] == said(prompt, n=4)
    page.get_by_role("button", name="Remove from here").first.click()
    assert page.locator("#turns li").count() == 0


def test_a_trial_is_saved_from_the_page(opened):
    page = opened()
    page.get_by_role("button", name="Save trial").click()
    page.locator("#state", has_text="saved in").wait_for()


def test_the_page_says_that_the_model_is_busy_and_a_trial_can_be_stopped(opened, monkeypatch):
    page = opened()
    held, go = threading.Event(), threading.Event()
    decode = ts.trials._stream.decode_after

    def waits(*given):
        held.set()
        go.wait(60)
        return decode(*given)

    monkeypatch.setattr("tlsteer.trials._stream.decode_after", waits)
    other = threading.Thread(target=trial, args=(page.url, "another"))
    other.start()
    assert held.wait(60)
    page.keyboard.press("Control+Enter")
    page.locator("#state.busy", has_text="waiting: 1 before you").wait_for()
    assert page.get_by_role("button", name="Stop").is_visible()
    page.keyboard.press("Escape")
    page.locator("#state", has_text=re.compile("^stopped$")).wait_for()
    assert page.get_by_role("button", name="Stop").is_hidden()
    go.set()
    other.join(60)
    run_again(page)


def test_the_colours_can_be_chosen(opened):
    page = opened(color_scheme="light")
    theme = page.locator("html")
    assert theme.get_attribute("data-theme") == "light"
    for wanted in ("light", "dark", "light"):
        page.locator("#theme").click()
        assert theme.get_attribute("data-theme") == wanted
