"""Interventions for a RemoteBridge: TransformerLens's own checks take them, and they say what the vectors do."""

import json

import pytest
import torch

from tests.exchange.test_formats import WIDTH, vector
from tlsteer import Clamp, Site, VectorError, VectorSet
from tlsteer.exchange import remote_interventions


def test_interventions_pass_transformerlens_own_checks_and_hold_the_vectors():
    specs = pytest.importorskip("transformer_lens.model_bridge.sources.vllm.intervention_specs")  # since 4.0
    made = VectorSet([vector(Site(2, "pre")), vector(Site(3, "post"), seed=1)])
    found = json.loads(json.dumps(remote_interventions(made, -0.5)))
    assert [*found] == ["blocks.1.hook_out", "blocks.3.hook_out"]
    for (name, spec), one in zip(found.items(), made.values(), strict=True):
        assert specs.validate_spec(name, spec, width=WIDTH) == spec
        assert spec["op"] == "add"
        assert torch.equal(torch.tensor(spec["value"]), -0.5 * one.tensor)


@pytest.mark.parametrize(
    ("one", "said"), [(vector(2, Clamp()), "to clamp"), (vector(0), "before it"), (vector(Site(2, "mid")), "middle")]
)
def test_what_they_cannot_say_is_refused(one, said):
    with pytest.raises(VectorError, match=f"interventions of a RemoteBridge.*{said}"):
        remote_interventions(one)
