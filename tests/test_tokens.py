"""Text to ids: as the model's own tokenization, BOS once, boundaries checked, padding masked."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.small_models import KINDS, loaded, unchecked
from tlsteer import DataError, chat_prompt
from tlsteer.surface import Surface
from tlsteer.tokens import batches, encode, encode_completion, encode_prompts, pad

rows_of_ids = st.lists(st.lists(st.integers(3, 299), min_size=1, max_size=9), min_size=1, max_size=6)


@pytest.fixture(params=KINDS)
def surface(request):
    return Surface(loaded(request.param))


@pytest.fixture
def gpt2():
    return Surface(loaded())


def characters(surface, n):
    """A text of exactly n tokens, BOS included: a letter that merges with nothing."""
    text = "Z" * (n - 1)
    assert len(encode(surface, text)) == n
    return text


@pytest.mark.parametrize("text", ["Hello world", " a", "What is it?\n\nSure, here", "é 😀 \t", "<s", "</s>x"])
def test_ids_are_those_of_the_model_itself(surface, text):
    assert encode(surface, text) == surface.model.to_tokens(text)[0].tolist()


@given(st.text(min_size=1, max_size=20))
def test_any_text_is_encoded_as_by_the_model_and_decodes_back(text):
    gpt2 = Surface(loaded())
    ids = encode(gpt2, text)
    assert ids == gpt2.model.to_tokens(text)[0].tolist()
    assert gpt2.tokenizer.decode(ids[1:]) == text


def test_bos_comes_once_also_where_a_chat_template_writes_it(surface):
    prompt = chat_prompt(surface.model, "Hello")
    bos = surface.tokenizer.bos_token_id
    assert prompt.startswith(surface.tokenizer.bos_token)
    assert encode(surface, prompt).count(bos) == 1
    assert encode(surface, prompt)[0] == bos


def test_no_bos_is_added_where_the_model_wants_none(surface):
    ids = encode(surface, "Hello")
    assert (ids[0] == surface.tokenizer.bos_token_id) == surface.model.cfg.default_prepend_bos


def test_a_completion_follows_its_prompt_in_one_tokenization(gpt2):
    before, after = encode_completion(gpt2, "What is it?", " Sure, here")
    assert before == encode(gpt2, "What is it?")
    assert before + after == encode(gpt2, "What is it? Sure, here")


@given(st.text(max_size=9), st.text(min_size=1, max_size=9))
def test_a_completion_is_split_off_exactly_or_refused(prompt, completion):
    gpt2 = Surface(loaded())
    own, joined = encode(gpt2, prompt), encode(gpt2, prompt + completion)
    if joined[: len(own)] == own:
        assert encode_completion(gpt2, prompt, completion) == (own, joined[len(own) :])
    else:
        with pytest.raises(DataError, match="spans the boundary"):
            encode_completion(gpt2, prompt, completion)


def test_a_token_that_spans_the_boundary_is_named(gpt2):
    with pytest.raises(DataError, match="token ' thin' spans the boundary between prompt 'x th' and completion 'ing'"):
        encode_completion(gpt2, "x th", "ing")


def test_long_texts_are_shortened_in_messages(gpt2):
    with pytest.raises(DataError) as caught:
        encode_completion(gpt2, "Z" * 400 + " th", "ing")
    assert len(str(caught.value)) < 250


def test_an_empty_completion_is_refused(gpt2):
    with pytest.raises(DataError, match="completion of prompt 'x' is empty"):
        encode_completion(gpt2, "x", "")


def test_the_models_whole_context_may_be_used_and_not_one_token_more(gpt2):
    n = gpt2.n_ctx
    encode_prompts(gpt2, [characters(gpt2, n)])
    encode_prompts(gpt2, [characters(gpt2, n - 3)], room=3)
    encode_completion(gpt2, characters(gpt2, n - 1), "Z")
    with pytest.raises(DataError, match=rf"prompt 1 has {n + 1} tokens, but 'tiny-gpt2' holds {n}"):
        encode_prompts(gpt2, ["x", characters(gpt2, n + 1)])
    with pytest.raises(DataError, match=f"{n - 2} tokens and 3 to generate"):
        encode_prompts(gpt2, [characters(gpt2, n - 2)], room=3)
    with pytest.raises(DataError, match="with its completion has"):
        encode_completion(gpt2, characters(gpt2, n), "Z")


@pytest.mark.parametrize("prompts", [[], "Hello"])
def test_prompts_are_a_list_of_some(gpt2, prompts):
    with pytest.raises(DataError, match="list of at least one prompt"):
        encode_prompts(gpt2, prompts)


@pytest.mark.parametrize("prompt", [None, 3, [{"role": "user", "content": "Hello"}]])
def test_what_is_no_text_is_refused(gpt2, prompt):
    with pytest.raises(DataError, match=r"is not a text.*chat_prompt"):
        unchecked(encode)(gpt2, prompt)


def test_a_text_of_no_tokens_is_refused_where_there_is_no_bos():
    with pytest.raises(DataError, match="gives no tokens"):
        encode(Surface(loaded("qwen2")), "")


@given(rows_of_ids, st.sampled_from(["left", "right"]))
def test_padding_hides_nothing_and_adds_nothing_real(rows, side):
    tokens, mask = pad(Surface(loaded()), rows, side)
    assert tokens.shape == mask.shape == (len(rows), max(map(len, rows)))
    assert [row[real].tolist() for row, real in zip(tokens, mask, strict=True)] == rows
    edge = -1 if side == "left" else 0
    assert mask[:, edge].all()


@given(rows_of_ids, st.integers(1, 7))
def test_batches_hold_every_row_once_like_lengths_together(rows, batch_size):
    found = list(batches(rows, batch_size, "test", progress=False))
    assert sorted(i for batch in found for i in batch) == list(range(len(rows)))
    assert all(1 <= len(batch) <= batch_size for batch in found)
    widths = [len(rows[i]) for batch in found for i in batch]
    assert widths == sorted(widths)


def test_a_batch_holds_at_least_one_row():
    with pytest.raises(DataError, match="batch_size=0"):
        batches([[1]], 0, "test", progress=False)


def test_padding_is_an_id_that_the_embedding_holds(gpt2, monkeypatch):
    monkeypatch.setattr(Surface, "tokenizer", SimpleNamespace(pad_token_id=5000, eos_token_id=2))
    tokens, mask = pad(gpt2, [[5, 6, 7], [8]], "left")
    assert tokens.max() < gpt2.model.cfg.d_vocab
    assert torch.isfinite(gpt2.forward(tokens, mask)).all()
