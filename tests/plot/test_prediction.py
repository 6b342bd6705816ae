"""What a vector predicts is shown with its band, and against what it controls."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_models import WIDTH, loaded
from tlsteer import SteeringVector
from tlsteer.analyse._reading.classify import classify, predict_control
from tlsteer.errors import DataError
from tlsteer.plot import plot_classifier, plot_predict_control

pytestmark = pytest.mark.usefixtures("closed")
VECTOR = SteeringVector(torch.randn(WIDTH, generator=torch.Generator().manual_seed(0)), 1)


def test_auc_has_its_band_and_steerability_stands_above_it():
    table = classify(loaded("gpt2"), {"a": VECTOR, "b": -VECTOR}, ["Hello", "world"], ["What", "test"], progress=False)
    steered = pd.DataFrame({"layer": [0, 1, 2, 3], "steerability": [0.1, 0.4, 0.2, 0.0]})
    ax = plot_classifier(predict_control(table, steered))
    auc, above = ax, ax.figure.axes[1]
    lines = {line.get_label(): line.get_ydata() for line in auc.lines}
    for name in "ab":
        np.testing.assert_allclose(lines[name], table[table["vector"] == name]["auc"])
    ax.figure.canvas.draw()
    assert above.get_window_extent().y0 > auc.get_window_extent().y1
    assert any(np.array_equal(line.get_ydata(), steered["steerability"]) for line in above.lines)
    assert len(plot_classifier(table).figure.axes) == 1


def test_every_vector_at_every_layer_is_a_mark_at_its_auc_and_its_control():
    places = [("a", 1, 0.5, 0.8), ("a", 2, 0.9, 0.1), ("b", 1, 0.6, 0.7), ("b", 2, 1.0, 0.2)]
    table = pd.DataFrame(places, columns=["vector", "layer", "auc", "requests served"])
    table = table.assign(auc_low=table["auc"] - 0.1, auc_high=table["auc"], random_low=0.3, random_high=0.7, n=20)
    ax = plot_predict_control(table, "requests served")
    marks = [one for one in ax.collections if len(one.get_offsets()) == 2]
    assert np.concatenate([one.get_offsets() for one in marks]).tolist() == [[auc, up] for _, _, auc, up in places]
    colours = [one.get_facecolor().tolist() for one in marks]
    assert colours[0] == colours[1]  # by layer
    assert colours[0][0] != colours[0][1]
    assert [text.get_text() for text in ax.get_legend().get_texts()][1:] == ["a", "b"]
    with pytest.raises(DataError, match="does not find 'steerability'"):
        plot_predict_control(table)
