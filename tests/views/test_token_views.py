"""Projections and next tokens: the numbers shown are those of the model."""

import re

import numpy as np
import pytest
import torch

from tests.small_models import loaded
from tlsteer import Intervention, Site, SteeringVector, steer
from tlsteer._token_labels import marked
from tlsteer.errors import DataError
from tlsteer.views import view_next_tokens, view_projections

from .pages import fetched, parsed, text

HOSTILE = "</script><script>alert(1)</script> <b>\n\"'"


@pytest.fixture(scope="module")
def model():
    return loaded("gpt2")


@pytest.fixture(scope="module")
def vector():
    return SteeringVector(torch.randn(32, generator=torch.Generator().manual_seed(0)), Site(2, "pre"))


def projected(model, vector, prompt):
    """Each token's residual along the vector, by TransformerLens alone."""
    _, cache = model.run_with_cache(model.to_tokens(prompt))
    return (cache[vector.site.hook_name][0] @ vector.tensor / vector.tensor.norm()).tolist()


def drawn(view):
    """The tokens of each row, the number behind each, and how much of its colour each has."""
    found = []
    for row in view.html.split("line-height: 1.7")[1:]:
        pattern = r'background-color: rgba\(\d+, \d+, \d+, ([\d.]+)\)[^"]*"\s*title="([^"]*)">(.*?)</span>'
        cells = re.findall(pattern, row, re.DOTALL)
        found.append(([text(c[2]) for c in cells], [float(c[1]) for c in cells], [float(c[0]) for c in cells]))
    return found


def test_tokens_come_with_their_projection(model, vector):
    prompts = ["Hello world", "What is it?"]
    rows = drawn(view_projections(model, vector, prompts))
    assert len(rows) == 2
    for prompt, (tokens, values, _) in zip(prompts, rows, strict=True):
        assert values == pytest.approx(projected(model, vector, prompt), abs=1e-3)
        assert "".join(tokens) == f"<s>{marked(prompt)}"


def test_colours_reach_the_largest_projection_but_the_first_tokens(model, vector):
    prompts = ["Hello world", "What is it?"]
    most = max(np.abs(projected(model, vector, prompt)[1:]).max() for prompt in prompts)
    for _, values, shares in drawn(view_projections(model, vector, prompts)):
        assert shares == pytest.approx([0.4 * min(abs(one) / most, 1) for one in values], abs=0.006)
        assert max(shares) > 0


def test_several_vectors_have_their_own_rows_and_scales(model, vector):
    view = view_projections(model, {"one": vector, "other": -vector.at(1)}, ["Hello", "world"])
    assert len(drawn(view)) == 4
    for caption in ("text 0 \u00b7 one", "text 0 \u00b7 other", "text 1 \u00b7 one", "text 1 \u00b7 other"):
        assert caption in text(view.html)


def test_hostile_tokens_of_projections_stay_text(model, vector):
    view = view_projections(model, vector, HOSTILE)
    assert f"<s>{marked(HOSTILE)}".replace("↵", "↵\n") in text(view.html)
    assert not {tag for tag, _ in parsed(view.html).tags} - {"div", "span", "wbr"}
    assert not fetched(view.html)


def test_projections_of_nothing_are_refused(model, vector):
    with pytest.raises(DataError, match="at least one"):
        view_projections(model, vector, [])
    with pytest.raises(DataError, match="at least one"):
        view_projections(model, {}, "Hello")


def rows(view):
    """The cells of each row of a table, as they read."""
    found = re.findall(r"<tr.*?</tr>", view.html, re.DOTALL)[1:]
    return [[text(cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in found]


def test_next_tokens_are_those_of_the_model(model, vector):
    prompt = "Hello world"
    tokens = model.to_tokens(prompt)
    plain = model(tokens)[0].log_softmax(-1)
    with steer(model, Intervention(vector, 2.0)):
        steered = model(tokens)[0].log_softmax(-1)
    shown = rows(view_next_tokens(model, vector, prompt, 2.0, top_k=1))
    assert len(shown) == tokens.shape[1]
    for row, before, after in zip(shown, plain, steered, strict=True):
        for cell, scores in ((row[2], before), (row[3], after)):
            assert cell.endswith(f"{100 * scores.max().exp().item():.0f}%")
        assert float(row[4]) == pytest.approx((before.exp() * (before - after)).sum().item(), abs=0.006)


def test_the_completion_alone_can_be_steered(model, vector):
    shown = rows(view_next_tokens(model, vector, "Hello", 3.0, completion=" world", positions="completion"))
    n_prompt = model.to_tokens("Hello").shape[1]
    divergences = [float(row[4]) for row in shown]
    assert divergences[: n_prompt - 1] == [0.0] * (n_prompt - 1)
    assert min(divergences[n_prompt - 1 :]) > 0


def test_tokens_show_their_space_and_line_end(model, vector):
    shown = rows(view_next_tokens(model, vector, "Hello world\n"))
    assert "".join(row[1] for row in shown) == "<s>Hello␣world↵"
    ((tokens, *_),) = drawn(view_projections(model, vector, "Hello world\n"))
    assert "".join(tokens) == "<s>Hello␣world↵\n"


def test_multiplier_zero_changes_no_next_token(model, vector):
    for row in rows(view_next_tokens(model, vector, "Hello world", 0.0)):
        assert row[2] == row[3]
        assert row[4] == "0.00"


def test_hostile_tokens_stay_text_in_the_table(model, vector):
    view = view_next_tokens(model, vector, HOSTILE)
    page = parsed(view.html)
    assert {tag for tag, _ in page.tags} == {"div", "span", "table", "tr", "th", "td"}
    assert not page.open
    assert not fetched(view.html)
    assert "".join(row[1] for row in rows(view)).startswith("<s></script><script>")


def test_no_next_tokens_are_refused(model, vector):
    with pytest.raises(DataError, match="top_k=0"):
        view_next_tokens(model, vector, "Hello", top_k=0)
