"""Vectors on the hub, by its real client against a stand-in on this machine."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from tests.hub import TOKEN, stand_in
from tests.test_repository import ROOT
from tlsteer import Site, SteeringVector, VectorError
from tlsteer._hub_files import push_files
from tlsteer._vector_cards import card
from tlsteer.operations import Clamp
from tlsteer.stats import rate
from tlsteer.vectors import Provenance

MADE = Provenance("google/gemma-2-2b-it", "ab12", "raw", "oneshot", "cd34", settings={"steps": 3, "text": "a|b\n## c"})

# What a user does, in a process of its own: the client reads its environment when it is imported.
SCRIPT = """
import json, sys
import torch
import tlsteer as ts
from tlsteer.vectors import Provenance

made = Provenance("google/gemma-2-2b-it", "ab12", "raw", "oneshot", "cd34")
vector = ts.SteeringVector(torch.arange(4.0), ts.Site(3, "post"), ts.Clamp(0.5), made)
found = {}

def tried(name, call):
    try:
        found[name] = call()
    except ts.VectorError as error:
        found[name] = str(error)

def same(one):
    return torch.equal(one.tensor, vector.tensor) and (one.site, one.operation, one.provenance) == (
        vector.site, vector.operation, vector.provenance)

token = sys.argv[1]
tried("no token", lambda: vector.push_to_hub("me/calm"))
tried("pushed", lambda: vector.push_to_hub("me/calm", token=token, license="mit", results={"serves": "0.91 (n=100)"}))
first = found["pushed"].rpartition("/")[2]
tried("again", lambda: (2 * vector).push_to_hub("me/calm", token=token))
tried("newest", lambda: ts.SteeringVector.from_hub("me/calm").norm)
tried("first", lambda: same(ts.SteeringVector.from_hub("me/calm", revision=first)))
both = ts.VectorSet([vector, vector.at(1)])
tried("set", lambda: both.push_to_hub("me/both", token=token, private=True))
tried("private", lambda: ts.VectorSet.from_hub("me/both"))
tried("set back", lambda: [repr(site) for site in ts.VectorSet.from_hub("me/both", token=token)])
tried("set as one", lambda: ts.SteeringVector.from_hub("me/both", token=token))
tried("no repository", lambda: ts.SteeringVector.from_hub("me/nothing", token=token))
tried("no revision", lambda: ts.SteeringVector.from_hub("me/calm", revision="v9"))
tried("no vector", lambda: ts.SteeringVector.from_hub("me/other"))
tried("no name", lambda: ts.SteeringVector.from_hub("a b/c d"))
print(json.dumps(found))
"""


def run(script, *arguments, **environment):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = {**own, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*", **environment}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, env=settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    with stand_in() as (hub, address):
        hub.commit("me/other", {"README.md": b"nothing"})
        home = str(tmp_path_factory.mktemp("hub"))
        return hub, run(SCRIPT, TOKEN, HF_ENDPOINT=address, HF_HOME=home, HF_HUB_OFFLINE="0")


def test_a_vector_comes_back_whole_from_the_hub_at_any_revision(done):
    _, found = done
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/me/calm/commit/[0-9a-f]{40}", found["pushed"])
    assert found["first"] is True
    assert found["newest"] == pytest.approx(2 * np.linalg.norm(np.arange(4)))
    assert found["set back"] == ["Site(1, 'pre')", "Site(3, 'post')"]


def test_a_push_is_one_commit_of_the_vector_and_its_card(done):
    hub, _ = done
    commits = [*hub.commits["me/calm"].values()]
    assert [sorted(files) for files in commits[1:]] == [["README.md", "vector.safetensors"]] * 2
    about = commits[1]["README.md"].decode()
    assert "- serves: 0.91 (n=100)" in about
    assert hub.private == {"me/both"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no token", "'me/calm' on the Hugging Face hub cannot be written: .*hf auth login"),
        ("set as one", r"holds 2 vectors .*VectorSet\.load"),
        ("private", "'me/both' on the Hugging Face hub cannot be read: there is no such repository, or it is private"),
        ("no repository", "there is no such repository"),
        ("no revision", "it has no revision 'v9'"),
        ("no vector", "it has no file 'vector.safetensors', so tlsteer did not write it"),
        ("no name", "its name has to be like"),
    ],
)
def test_what_goes_wrong_is_said_with_what_to_do(done, name, said):
    assert re.search(said, done[1][name])


@pytest.mark.slow
def test_without_a_network_an_error_says_so(tmp_path):
    script = """
import json, torch, tlsteer as ts
said = []
vector = ts.SteeringVector(torch.ones(3), 1)
for call in (ts.SteeringVector.from_hub, vector.push_to_hub):
    try:
        call("me/calm")
    except ts.VectorError as error:
        said.append(str(error))
print(json.dumps(said))
"""
    for offline in ("0", "1"):
        # Nothing listens at port 9.
        said = run(script, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path), HF_HUB_OFFLINE=offline)
        assert len(said) == 2
        for one in said:
            assert "'me/calm' on the Hugging Face hub cannot be" in one
            assert "the hub cannot be reached" in one


def files(**options):
    return [SteeringVector(torch.ones(4), Site(3, "post"), Clamp(0.5), MADE).as_file()]


def test_a_card_says_what_the_vector_is_what_was_measured_and_whom_to_cite():
    text = card("me/calm", files(), {"serves requests": rate(91, 100), "side effects": "a\nb"}, "mit")
    about = yaml.safe_load(text.split("---")[1])
    assert about["base_model"] == "google/gemma-2-2b-it"
    assert about["license"] == "mit"
    assert {"steering-vectors", "activation-steering"} <= {*about["tags"]}
    for part in ("Site(3, 'post') | clamp (constant 0.5) | 2 | 4", "oneshot", "cd34", "- serves requests: 0.91",
                 "```\na\nb\n```", "dunefsky2025oneshot", 'from_hub("me/calm")'):  # fmt: skip
        assert part in text
    assert "\n## c" not in text  # what a setting says is text, not Markdown
    assert r"a\|b" in text


def test_a_card_without_results_says_so_and_names_no_base_model_that_is_none():
    made = SteeringVector(torch.ones(4), 3, provenance=Provenance("organism")).as_file()
    text = card("me/calm", [made], {}, None)
    assert "base_model" not in text
    assert "Nothing was given" in text


def test_a_name_that_is_none_is_refused_before_anything_is_sent():
    with pytest.raises(VectorError, match="its name has to be like"):
        push_files("a b", {}, False, None)
