"""Decoder rows of sparse autoencoders in SAELens's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tlsteer._json_files import read_json
from tlsteer._vector_files import Provenance
from tlsteer.errors import VectorError
from tlsteer.exchange._formats import Format
from tlsteer.operations import Add
from tlsteer.sites import Site
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector


@dataclass(frozen=True)
class SaeLens(Format):
    """A row of `W_dec` (features, d_model) in `sae_weights.safetensors`; `cfg.json` beside it names the hook.

    Attributes:
        feature: which, from 0.

    >>> load("sae/", SaeLens(feature=123)).only  # doctest: +SKIP
    >>> SaeLens(feature=123)
    SaeLens(feature=123)
    """

    feature: int
    name = "saelens"
    title = "sparse autoencoders of SAELens"
    container = "safetensors"
    omits = "the model's weights (a name alone), a strength (a row is about a unit vector), tokens"

    @classmethod
    def fits(cls, content: Any) -> bool:
        """Files with a decoder."""
        return "W_dec" in content.tensors

    def read(self, content: Any, path: Path) -> VectorSet:
        """The row of the feature; of the file of gigabytes, that row alone is read."""
        config = read_json(path.with_name("cfg.json"), "the settings of a sparse autoencoder, beside its weights")
        about = {**config, **(config.get("metadata") or {})}
        with safe_open(str(path), framework="pt") as file:
            rows = file.get_slice("W_dec")
            n_features = rows.get_shape()[0]
            if not 0 <= self.feature < n_features:
                raise VectorError(f"feature {self.feature} is none of its {n_features} (0 to {n_features - 1})")
            row = rows[self.feature]
        made = Provenance(
            str(about.get("model_name", "")), method="saelens feature", settings={"feature": self.feature}
        )
        if (name := about.get("hook_name")) is None:
            raise VectorError("cfg.json names no hook (hook_name), so where the feature lives is not known")
        return VectorSet([SteeringVector(row, Site.of(name), Add(), made)])
