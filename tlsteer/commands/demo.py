"""`tlsteer demo`: the embedded model under vectors from one example each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlsteer.commands._options import Seed
from tlsteer.commands._running import Said, kept_nowhere, shows_bars


def demo(
    output: Annotated[Path, typer.Option(help="The folder for the picture, the vectors and the numbers.")] = Path(
        "demo-output"
    ),
    seed: Seed = 0,
) -> Said:
    """Steer the embedded model with vectors from one example each, and show what changed.

    \b
    Example:
      tlsteer demo --output demo-output --seed 1
    """
    from tlsteer.demo import run_demo

    with kept_nowhere(output):
        return Said(*run_demo(output, seed, progress=shows_bars()))
