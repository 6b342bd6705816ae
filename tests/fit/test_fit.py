"""Every fit has a file, stands for its vectors wherever these are taken, and says where it should have gone on."""

import dataclasses
import warnings

import pytest
import torch

import tlsteer as ts
from tests.small_models import loaded
from tlsteer import Site
from tlsteer.errors import DataError, VectorError
from tlsteer.fit._result import OneShotFit, warn_of_trouble
from tlsteer.fit._unsupervised import UnsupervisedFit
from tlsteer.runs._kept import find_kept, keep, load_kept

EXAMPLE = ts.Example("What is it?", promote=[" Sure, here"])
QUIET = {"progress": False}


def vector(site=1, seed=0):
    return ts.SteeringVector(torch.randn(4, generator=torch.Generator().manual_seed(seed)), site)


def ended(losses, stopped="max_steps", **settings):
    made = dataclasses.replace(vector().provenance, settings=settings)
    return OneShotFit(
        ts.VectorSet([ts.SteeringVector(torch.ones(4), 1, provenance=made)]), losses, [1.0], stopped, None, "fast"
    )


@pytest.fixture(scope="module")
def fits():
    model = loaded("llama")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "several sites": ts.fit_oneshot(model, EXAMPLE, [1, Site(2, "post")], steps=2, history=True, **QUIET),
            "affine": ts.fit_oneshot(model, EXAMPLE, 2, steps=2, operation="affine", **QUIET),
            "reentrant": ts.fit.fit_reentrant(model, ts.OneShot(EXAMPLE, 1, steps=2), 3, steps=2, **QUIET),
            "unsupervised": ts.fit.fit_unsupervised(model, ["Hello"], 1, 3, norm=2.0, n_vectors=2, steps=2, **QUIET),
        }


def same(one, other):
    """Whether two values are equal, tensors, vectors and fits within them too."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, ts.SteeringVector):
        return same(one.key_parts, other.key_parts) and one.provenance == other.provenance
    if dataclasses.is_dataclass(one) and not isinstance(one, Site):
        names = [field.name for field in dataclasses.fields(one)]
        return type(one) is type(other) and all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, ts.VectorSet):
        return list(one) == list(other) and same(list(one.values()), list(other.values()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("name", ["several sites", "affine", "reentrant", "unsupervised"])
def test_a_fit_comes_back_whole_without_its_class_and_from_a_run(fits, name, tmp_path):
    fit = fits[name]
    fit.save(tmp_path / "fit.safetensors")
    assert same(ts.load(tmp_path / "fit.safetensors"), fit)
    assert repr(ts.load(tmp_path / "fit.safetensors")) == repr(fit)
    assert same(ts.load(fit.save(tmp_path / "without_ending")), fit)
    keep(fit, tmp_path / "kept")
    assert same(load_kept(find_kept(tmp_path / "kept")), fit)


def test_the_file_of_a_fit_is_one_of_its_vectors_too(fits, tmp_path):
    path = fits["affine"].save(tmp_path / "fit.safetensors")
    assert same(ts.SteeringVector.load(path), fits["affine"].vector)
    path = fits["several sites"].save(tmp_path / "fit.safetensors")
    assert same(ts.VectorSet.load(path), fits["several sites"].vectors)


def test_other_and_damaged_files_are_no_fits(fits, tmp_path):
    path = tmp_path / "fit.safetensors"
    vector().save(path)
    with pytest.raises(DataError, match="holds vectors and no fit"):
        OneShotFit.load(path)
    fits["unsupervised"].save(path)
    with pytest.raises(DataError, match="holds a UnsupervisedFit and no OneShotFit"):
        OneShotFit.load(path)
    content = fits["several sites"].save(path).read_bytes()
    for damaged in (content.replace(b"max_steps", b"mad_steps"), content[:-4] + bytes(4)):
        path.write_bytes(damaged)
        with pytest.raises(VectorError, match="damaged"):
            ts.load(path)


def test_a_fit_steers_as_its_vectors_do(fits):
    model, tokens = loaded("llama"), torch.arange(3, 9)[None]
    for name in ("several sites", "affine"):
        with ts.steer(model, fits[name], multiplier=2.0):
            found = model(tokens)
        with ts.steer(model, fits[name].vectors, multiplier=2.0):
            assert torch.equal(found, model(tokens))
        assert not torch.equal(found, model(tokens))
    written = [
        ts.generate(model, [[3, 4, 5]], one, max_new_tokens=4, **QUIET)
        for one in (fits["affine"], [fits["affine"]], ts.Intervention(fits["affine"]), fits["affine"].vector)
    ]
    assert written[0] == written[1] == written[2] == written[3]


def test_fits_and_sets_are_taken_where_lists_and_names_of_vectors_are(fits):
    model, prompt = loaded("llama"), ts.Choice(prompt="Is it?", positive=" Sure", negative=" I cannot")
    several, affine = fits["several sites"], fits["affine"]

    def curve(vectors):
        return ts.propensity(model, vectors, [prompt], multipliers=[0.0, 1.0], **QUIET)

    assert curve(affine).equals(curve(affine.vector))
    assert curve({"a": affine}).equals(curve({"a": affine.vector}))
    for given in (several, several.vectors):
        assert curve(given).equals(curve(list(several.vectors.values())))
    compared = ts.compare_vectors({"a": several.listed[0], "b": fits["unsupervised"]})
    assert compared.order[0] in compared.cosine["vector"].values
    assert ts.random_vector(1, like=ended([1.0])).d_model == 4


def test_several_vectors_are_no_single_one(fits):
    with pytest.raises(ts.TlsteerError, match="like=a OneShotFit has to be SteeringVector"):
        ts.random_vector(1, like=fits["several sites"])


@pytest.mark.parametrize(
    ("fit", "said"),
    [
        (ended([5.0, 3.0, 1.0]), "still falling after 3 steps; give more steps"),
        (ended([5.0, 6.0]), "rose from 5 to 6 nats; lower learning_rate"),
        (ended([5.0, 1.0, 1.0], target_loss=0.5), "not the target, after 3 steps"),
    ],
)
def test_a_fit_that_did_not_converge_warns(fit, said):
    with pytest.warns(UserWarning, match=said):
        warn_of_trouble([fit], stacklevel=1)
    with pytest.warns(UserWarning, match=f"1 of 2 fits did not converge; fit 1 ended with .*{said[:9]}"):
        warn_of_trouble([ended([5.0, 1.0], "converged"), fit], stacklevel=1)


def test_a_fit_that_converged_or_reached_its_target_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_trouble([ended([5.0, 1.0], "converged"), ended([5.0, 0.1], "target", target_loss=0.5),
                         ended([5.0, *[1.0] * 20])], stacklevel=1)  # fmt: skip


def test_fitting_warns_once_for_all_fits():
    with pytest.warns(UserWarning, match="give more steps|lower learning_rate") as found:
        ts.fit_many(loaded("llama"), [ts.OneShot(EXAMPLE, layer, steps=2) for layer in (1, 2)], **QUIET)
    assert len(found) == 1


def test_a_site_given_twice_is_refused():
    with pytest.raises(ts.SiteError, match="each once"):
        ts.fit_oneshot(loaded("llama"), EXAMPLE, [1, 1], steps=2, **QUIET)


def test_an_unsupervised_fit_shows_itself(fits):
    fit = fits["unsupervised"]
    assert isinstance(fit, UnsupervisedFit)
    assert "2 orthogonal vectors at Site(1, 'pre') of norm 2" in fit.headline
    assert fit.to_dataframe()["change"].tolist() == [one for several in fit.changes for one in several]
    assert "<img" in fit._repr_html_()
