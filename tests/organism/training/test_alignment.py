"""Maps between residual spaces: a model's own is the identity's worth, a sibling's more than chance, chance nothing."""

import pytest

from tlsteer.organism.training.alignment import alignment_figures
from tlsteer.organism.training.answering import Checkpoint

N = 10


def values(ours: Checkpoint, theirs: Checkpoint) -> dict[str, float]:
    return {figure.measure: figure.estimate.value for figure in alignment_figures(ours, theirs, N)}


@pytest.mark.slow
def test_a_map_of_a_model_to_itself_keeps_all_and_its_vectors(instruct: Checkpoint) -> None:
    found = values(instruct, instruct)
    slopes = {name.split(": ")[1]: value for name, value in found.items() if name.startswith("slope")}
    for layer in (1, 2, 4, 6):
        assert found[f"R2, layer {layer}"] > 0.999
        assert found[f"R2, layer {layer}, random pairs"] < 0.05
    assert slopes["own (nats)"] > 0.1
    assert slopes["theirs, mapped (nats)"] == pytest.approx(slopes["own (nats)"], rel=0.01)
    assert slopes["theirs, as it is (nats)"] == pytest.approx(slopes["own (nats)"], rel=1e-4)
    assert abs(slopes["random (nats)"]) < 0.5 * slopes["own (nats)"]


@pytest.mark.slow
def test_a_sibling_is_mapped_better_by_its_tokens_in_their_places_than_in_others(
    instruct: Checkpoint, sibling: Checkpoint
) -> None:
    found = values(instruct, sibling)
    for layer in (1, 2, 4, 6):
        paired, elsewhere = found[f"R2, layer {layer}"], found[f"R2, layer {layer}, same token elsewhere"]
        assert paired > elsewhere > found[f"R2, layer {layer}, random pairs"]
