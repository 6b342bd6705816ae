"""Runs that are served: their index as it is now, their pages and files, and no script but that of the pages."""

import json
import subprocess
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from tests.chromium import CHROMIUM
from tests.studies.example import example
from tests.ui.bench import TOKEN, serving
from tlsteer.report._templates import served_policy
from tlsteer.ui._run_pages import runs_app
from tlsteer.ui._serving import guarded_app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("runs")
    replace(example(), headline="It steers.", config={"study": "refusal"}).save(found / "one run")
    (found / "strange.html").write_text("<title>theirs</title><script>document.title='ran'</script>")
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("secret")
    (found / "out.txt").symlink_to(secret)
    return found


@pytest.fixture(scope="module")
def address(folder):
    with serving(guarded_app(runs_app(folder), TOKEN, "127.0.0.1", served_policy())) as address:
        yield address


def got(address):
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read().decode()


def test_the_index_is_that_of_now_and_leads_to_pages_and_files(address, folder):
    assert "1 run in" in got(address)
    assert "It steers." in got(f"{address}one%20run/report.html")
    assert json.loads(got(f"{address}one%20run/config.json"))["study"] == "refusal"
    replace(example(), headline="It steers again.", config={"study": "refusal"}).save(folder / "two")
    assert "It steers again." in got(address)


@pytest.mark.parametrize("path", ["out.txt", "../secret.txt", "%2e%2e/", "one%20run/", "nowhere"])
def test_nothing_outside_of_the_folder_is_given(address, path):
    with pytest.raises(urllib.error.HTTPError, match=r"40\d"):
        got(address + path)


def test_whoever_has_no_token_gets_nothing(address):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        got(address.replace(TOKEN, "other"))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed here")
def test_pages_run_their_own_script_and_no_other(address):
    got(address)  # which writes the page

    def shown(path):
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
        done = subprocess.run([CHROMIUM, *options, address + path], capture_output=True, text=True, timeout=300)
        return done.stdout

    assert '<article class="prompt"' in shown("one%20run/report.html")  # which the script puts there
    assert "<title>theirs</title>" in shown("strange.html")


def test_the_command_serves_a_folder_and_says_where(run, folder, monkeypatch):
    served = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: served.extend(one.getsockname() for one in sockets))
    status, out, _ = run("view", folder, "--serve", "--json")
    assert status == 0
    ((host, port),) = served
    assert json.loads(out)["address"].startswith(f"http://{host}:{port}/")
    assert host == "127.0.0.1"
    for wrong in (["--serve", "--output", "x.html"], ["--port", 1], ["--serve", "--port", 10**9]):
        assert run("view", folder, *wrong)[0] == 2
    assert run("view", "nowhere", "--serve")[0] == 2
