"""Settings under which a study of refusal takes seconds."""

from tlsteer.studies.refusal._presets import Preset

TINY = Preset(
    layer=1, refusals=("Never",), max_norm=3.0, steps=2, multipliers=(1.0, 2.0), n_fits=2, n_tests=2,
    max_new_tokens=3,
)  # fmt: skip
