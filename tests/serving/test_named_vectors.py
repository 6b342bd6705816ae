import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tlsteer as ts
from tests.small_models import LAYERS, WIDTH, loaded
from tlsteer._surface import Surface
from tlsteer.errors import TlsteerError
from tlsteer.serving._named_vectors import NamedVectors
from tlsteer.sites import Site


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    ts.SteeringVector(torch.ones(WIDTH), Site(1, "mid"), ts.Clamp(0.5)).save(folder / "one.safetensors")
    ts.VectorSet([ts.SteeringVector(torch.ones(WIDTH) * i, i) for i in (1, 2)]).save(folder / "two.safetensors")
    found = NamedVectors(folder)
    found.on(Surface(loaded("llama")))
    return found


def test_a_name_stands_for_its_vectors_with_their_sites_and_operations(named):
    (write,) = named.writes({"vector": "one"})
    assert (write.site, write.operation, write.multiplier.tolist()) == (Site(1, "mid"), ts.Clamp(0.5), [1.0])
    ablated = {"vector": "one", "operation": "ablate", "positions": "last:1"}
    found = named.writes([{"vector": "two", "multiplier": -2}, ablated])
    assert [(one.site.layer, one.multiplier.item()) for one in found] == [(1, -2.0), (2, -2.0), (1, 1.0)]
    assert (found[2].operation, found[2].positions) == (ts.Ablate(), ts.last(1))


def test_a_field_that_is_null_is_one_that_is_not_given(named):
    (write,) = named.writes({"vector": "one", "multiplier": None, "positions": None, "operation": None})
    assert (write.multiplier.item(), write.positions) == (1.0, "all")


def test_what_goes_to_workers_is_for_the_tokens_of_the_prompt(named):
    asked = {"vector": "one", "positions": "completion"}
    (write,) = named.request_writes(asked, [3, 4, 5], True)
    assert write.chosen.within(0, 9) == list(range(2, 9))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("one", "such as"),
        ([], "1 to 64"),
        ([{"vector": "one"}] * 65, "1 to 64"),
        ({"multiplier": 1}, "such as"),
        ({"vector": None}, "there are one, two"),
        ({"vector": "three"}, "there are one, two"),
        ({"vector": "../one"}, "there are one, two"),
        ({"vector": "x" * 10_000}, "at most 200"),
        ({"vector": "one", "site": 3}, "its fields are vector, multiplier, operation, positions"),
        ({"vector": "one", "multiplier": "2"}, "a number"),
        ({"vector": "one", "multiplier": True}, "a number"),
        ({"vector": "one", "multiplier": [1, 2]}, "a number"),
        ({"vector": "one", "multiplier": float("nan")}, "finite"),
        ({"vector": "one", "multiplier": 1e300}, "too much"),
        ({"vector": "one", "operation": "replace"}, "add, clamp, ablate"),
        ({"vector": "one", "operation": "affine"}, "more than a name"),
        ({"vector": "one", "positions": "first"}, "last:5"),
        ({"vector": "one", "positions": "last:" + "9" * 190}, "has 3 tokens"),
    ],
)
def test_anything_else_is_refused_in_one_line_with_what_there_is(named, asked, said):
    with pytest.raises(TlsteerError, match=said) as caught:
        named.request_writes(asked, [3, 4, 5], True)
    assert len(str(caught.value)) < 500


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["vector", "multiplier", "positions", "x"]), inner),
    max_leaves=8,
)


@given(json_values)
def test_whatever_is_sent_is_taken_or_refused(named, asked):
    try:
        named.request_writes(asked, [3, 4, 5], True)
    except TlsteerError:
        return
    assert asked


def test_a_stage_that_is_not_steered_is_refused_with_the_reason(named):
    named.refused = {"mid": "it runs in parallel"}
    try:
        with pytest.raises(ts.ModelError, match="it runs in parallel"):
            named.writes({"vector": "one"})
        assert named.writes({"vector": "two"})
    finally:
        named.refused = {}


def test_a_folder_without_vectors_or_with_those_of_another_model_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ts.VectorError, match="no folder with saved vectors"):
            NamedVectors(folder)
    ts.SteeringVector(torch.ones(WIDTH), LAYERS).save(tmp_path / "deep.safetensors")
    with pytest.raises(ts.SiteError, match=str(LAYERS)):
        NamedVectors(tmp_path).on(Surface(loaded("llama")))
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    with pytest.raises(ts.VectorError, match=r"damaged\.safetensors"):
        NamedVectors(tmp_path)


def test_the_list_says_what_each_vector_is(named):
    one, two = named.told()["data"]
    assert (one["id"], two["id"]) == ("one", "two")
    assert one["vectors"][0] == {
        "layer": 1, "stage": "mid", "operation": "clamp (constant 0.5)", "norm": pytest.approx(WIDTH**0.5),
        "method": "", "model": "",
    }  # fmt: skip
    assert [vector["layer"] for vector in two["vectors"]] == [1, 2]
