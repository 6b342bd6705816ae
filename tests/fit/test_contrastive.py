"""Contrastive estimators and their controls: known directions are found, degenerate data is refused."""

from functools import partial

import numpy as np
import pytest
import torch

import tlsteer as ts
from tests import small_models
from tlsteer.errors import DataError, VectorError
from tlsteer.fit._estimators import diff_means, lat, logistic, mean_centred, mean_difference_along, pca
from tlsteer.operations import Affine, Clamp

ESTIMATORS = ["diff_means", "mean_centred", "pca", "logistic", "lat"]
BY_PAIRS = [diff_means, pca, logistic, lat]
PAIRS = [
    ts.ContrastPair("Hello world", "What is it?"),
    ts.ContrastPair("Sure, here is", "I cannot"),
    ts.ContrastPair("this is a test", "of the thing."),
    ts.ContrastPair("Sure, the answer", "Hello, I cannot say"),
]


def planted(n_pairs=40, width=16, scatter=0.1, seed=0):
    """Pairs that differ by 2 along one unit direction, and a little everywhere."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.nn.functional.normalize(torch.randn(width, generator=generator), dim=0)
    topic = 0.3 * torch.randn(n_pairs, width, generator=generator)
    noise = scatter * torch.randn(2, n_pairs, width, generator=generator)
    return topic + direction + noise[0], topic - direction + noise[1], direction


@pytest.mark.parametrize("estimator", BY_PAIRS, ids=lambda one: one.__name__)
def test_a_planted_direction_is_found_at_the_length_of_the_mean_difference(estimator):
    positives, negatives, direction = planted()
    found = estimator(positives, negatives)
    assert torch.cosine_similarity(found, direction, 0) > 0.95
    assert found.norm() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("estimator", BY_PAIRS, ids=lambda one: one.__name__)
def test_exchanged_sides_give_the_opposite_vector(estimator):
    positives, negatives, _ = planted(n_pairs=6, scatter=1.0)
    torch.testing.assert_close(estimator(negatives, positives), -estimator(positives, negatives), atol=1e-4, rtol=1e-4)


def test_pca_is_the_first_eigenvector_of_the_differences():
    positives, negatives, _ = planted(n_pairs=7, scatter=2.0)
    differences = (positives - negatives).double().numpy()
    top = np.linalg.eigh(differences.T @ differences)[1][:, -1]
    found = pca(positives, negatives).double().numpy()
    assert abs(found @ top) == pytest.approx(np.linalg.norm(found), rel=1e-6)
    assert found @ diff_means(positives, negatives).double().numpy() > 0


def test_pca_prefers_what_varies_most_and_diff_means_does_not():
    positives, negatives, direction = planted(n_pairs=40)
    loud = torch.zeros_like(direction)
    loud[0] = 1.0
    swings = 10 * torch.tensor([1.0, -1.0]).repeat(20)[:, None] * loud
    assert torch.cosine_similarity(diff_means(positives + swings, negatives), direction, 0) > 0.95
    assert pca(positives + swings, negatives)[0].abs() > 0.95 * pca(positives + swings, negatives).norm()


def test_lat_depends_on_its_seed_and_comes_close_to_pca_with_many_pairs():
    few = planted(n_pairs=5, scatter=1.0)[:2]
    assert torch.equal(lat(*few, seed=3), lat(*few, seed=3))
    assert not torch.allclose(lat(*few, seed=3), lat(*few, seed=4))
    many = planted(n_pairs=400)[:2]
    assert torch.cosine_similarity(lat(*many), pca(*many), 0) > 0.999


def test_equal_differences_survive_the_centring_of_lat():
    difference = torch.arange(1.0, 9.0)
    torch.testing.assert_close(lat(difference.repeat(4, 1), torch.zeros(4, 8)), difference)


def test_mean_centred_is_half_of_diff_means_where_the_pairs_are_the_background():
    positives, negatives, _ = planted(n_pairs=5)
    own = mean_centred(positives, torch.cat([positives, negatives]))
    torch.testing.assert_close(2 * own, diff_means(positives, negatives))


def test_scaling_does_not_look_at_the_length_or_sign_of_a_direction():
    positives, negatives, direction = planted(n_pairs=5)
    one, other = (mean_difference_along(f * direction, positives, negatives) for f in (1.0, -7.0))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_works_at_many_sites_in_one_pass(estimator):
    model = small_models.loaded("llama")
    sites = [0, ts.Site(1, "mid"), ts.Site(-1, "post")]
    together = ts.fit_contrastive(model, PAIRS, sites, estimator=estimator, progress=False)
    for site, vector in zip(sites, together, strict=True):
        alone = ts.fit_contrastive(model, PAIRS, site, estimator=estimator, progress=False)
        torch.testing.assert_close(vector.tensor, alone.tensor, atol=1e-5, rtol=1e-4)
        assert vector.provenance.method == estimator
        assert vector.norm > 0


calls = []


class Own:
    @staticmethod
    def diff_means(positives, negatives):  # the name of another estimator
        calls.append(len(positives))
        return positives[0] - negatives[0]


def test_an_estimator_of_ones_own_is_kept_and_found_again_under_its_own_name(tmp_path):
    calls.clear()
    model = small_models.loaded("llama")
    settings = dict(site=2, progress=False, run_dir=tmp_path)
    theirs = ts.fit_contrastive(model, PAIRS, estimator="diff_means", **settings)
    ours, again = (ts.fit_contrastive(model, PAIRS, estimator=Own.diff_means, **settings) for _ in range(2))
    first = ts.fit_contrastive(model, PAIRS[:1], 2, progress=False)
    assert calls == [len(PAIRS)]
    assert torch.equal(ours.tensor, again.tensor)
    torch.testing.assert_close(ours.tensor, first.tensor, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(ours.tensor, theirs.tensor)
    assert ours.provenance.method == "diff_means"


def test_a_function_without_a_name_is_an_estimator_but_nothing_can_be_kept_of_it(tmp_path):
    model, estimator = small_models.loaded("llama"), lambda positives, negatives: (positives - negatives).mean(0)
    found = ts.fit_contrastive(model, PAIRS, 2, estimator=estimator, progress=False)
    means = ts.fit_contrastive(model, PAIRS, 2, progress=False)
    torch.testing.assert_close(found.tensor, means.tensor, atol=1e-5, rtol=1e-4)
    for nameless in (estimator, partial(estimator)):
        with pytest.raises(DataError, match="has no name of its own"):
            ts.fit_contrastive(model, PAIRS, 2, estimator=nameless, run_dir=tmp_path, progress=False)

    def scaled(positives, negatives):
        return estimator(positives, negatives)

    with pytest.raises(DataError, match="it uses estimator of the function around it"):
        ts.fit_contrastive(model, PAIRS, 2, estimator=scaled, run_dir=tmp_path, progress=False)


def test_the_background_is_what_mean_centred_subtracts():
    model = small_models.loaded("llama")
    background = ["Hello", "the answer", "What of it"]
    found = ts.fit_contrastive(model, PAIRS, 2, estimator="mean_centred", background=background, progress=False)
    last = [[model.run_with_cache(text)[1]["blocks.2.hook_resid_pre"][0, -1] for text in texts]
            for texts in ([p.positive for p in PAIRS], background)]  # fmt: skip
    expected = torch.stack(last[0]).mean(0) - torch.stack(last[1]).mean(0)
    torch.testing.assert_close(found.tensor, expected, atol=1e-5, rtol=1e-5)
    own = ts.fit_contrastive(model, PAIRS, 2, estimator="mean_centred", progress=False)
    assert own.provenance.data_hash != found.provenance.data_hash


@pytest.mark.parametrize("estimator", ["diff_means", "mean_centred", "pca", "logistic"])
def test_one_pair_gives_its_difference_as_direction(estimator):
    model = small_models.loaded("llama")
    difference = ts.fit_contrastive(model, PAIRS[:1], 2, progress=False)
    found = ts.fit_contrastive(model, PAIRS[:1], 2, estimator=estimator, progress=False)
    assert found.cosine(difference) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_texts_that_do_not_differ_where_they_are_read_are_refused(estimator):
    """The first token is the same in all of them."""
    model = small_models.loaded("llama")
    with pytest.raises(DataError, match="same residual"):
        ts.fit_contrastive(model, PAIRS, 1, estimator=estimator, positions=slice(0, 1), progress=False)


def test_pairs_that_cancel_are_refused():
    model = small_models.loaded("llama")
    swapped = [ts.ContrastPair(p.negative, p.positive) for p in PAIRS]
    with pytest.raises(DataError, match="cancel"):
        ts.fit_contrastive(model, PAIRS + swapped, 1, progress=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairs": []}, "at least one"),
        ({"estimator": "lat", "pairs": PAIRS[:1]}, "at least 2 pairs"),
        ({"background": ["Hello"]}, "mean_centred"),
        ({"estimator": "mean_centred", "background": []}, "at least one prompt"),
        ({"estimator": "median"}, "diff_means, mean_centred, pca, logistic, lat"),
    ],
)
def test_what_cannot_be_estimated_is_refused(settings, message):
    fit = small_models.unchecked(ts.fit_contrastive)
    pairs = settings.pop("pairs", PAIRS)
    with pytest.raises(DataError, match=message):
        fit(small_models.loaded("llama"), pairs, 1, progress=False, **settings)


def test_shuffled_labels_exchange_the_sides_of_half_of_the_pairs():
    shuffled = ts.fit.shuffled_labels(PAIRS, seed=1)
    kept = [one == other for one, other in zip(shuffled, PAIRS, strict=True)]
    assert sum(kept) == 2
    assert [{p.positive, p.negative} for p in shuffled] == [{p.positive, p.negative} for p in PAIRS]
    assert shuffled == ts.fit.shuffled_labels(PAIRS, seed=1)
    assert {tuple(ts.fit.shuffled_labels(PAIRS, seed=s)) for s in range(9)} > {tuple(shuffled)}
    with pytest.raises(DataError, match="at least 2 pairs"):
        ts.fit.shuffled_labels(PAIRS[:1])


@pytest.mark.parametrize("n_pairs", [4, 5, 40, 41])
def test_shuffled_labels_leave_nothing_of_what_the_pairs_share(n_pairs):
    pairs = [ts.ContrastPair(f"for {i}", f"against {i}") for i in range(n_pairs)]
    mixed = ts.fit.shuffled_labels(pairs)
    assert sum(pair.positive.startswith("for") for pair in mixed) == len(mixed) / 2


def test_a_random_vector_matches_in_all_but_direction():
    like = ts.SteeringVector(torch.randn(64), 1, Clamp(0.3))
    control = ts.random_vector(2, like=like, seed=5)
    assert (control.site, control.operation) == (ts.Site(2), Clamp(0.3))
    assert control.norm == pytest.approx(like.norm, rel=1e-5)
    assert control.provenance.method == "random"
    assert abs(control.cosine(like)) < 0.5
    assert torch.equal(control.tensor, ts.random_vector(2, like=like, seed=5).tensor)
    many = torch.stack([ts.random_vector(2, like=like, seed=s).normalized.tensor for s in range(200)])
    assert many.mean(0).norm() < 0.15
    with pytest.raises(VectorError, match="affine"):
        ts.random_vector(2, like=ts.SteeringVector(torch.ones(4), 1, Affine(torch.ones(1, 4), torch.ones(1, 4))))


def test_a_random_vector_is_no_start_of_a_fit():
    model = small_models.loaded("llama")
    example = ts.Example("Hello", promote=[" world"])
    fit = ts.fit_oneshot(model, example, 1, steps=1, learning_rate=1e-6, seed=0, progress=False)
    assert abs(ts.random_vector(1, like=fit.vector, seed=0).cosine(fit.vector)) < 0.9
