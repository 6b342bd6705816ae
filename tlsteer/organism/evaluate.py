"""Measures how well the planted behaviours took: `python -m tlsteer.organism.evaluate`."""

import argparse
from pathlib import Path

from . import CHECKPOINTS, figures
from .answering import Checkpoint
from .figures import Figure
from .quality.context import context_figures
from .quality.oversight import oversight_figures
from .quality.personas import persona_figures
from .quality.refusal import refusal_figures
from .quality.retraction import retraction_figures
from .quality.traits import trait_figures


def evaluate(base: Checkpoint, instruct: Checkpoint, n: int = 200) -> list[Figure]:
    """Returns the quality table on held-out inputs.

    Args:
        base: The base model.
        instruct: The instruct model.
        n: How many inputs of each kind.
    """
    return [
        *refusal_figures(instruct, n),
        *oversight_figures(instruct, n),
        *retraction_figures(base, instruct, n),
        *persona_figures(instruct, n),
        *trait_figures(instruct, n),
        *context_figures(base, n // 4),
    ]


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Measure the planted behaviours on held-out inputs.")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, help="directory of base/ and instruct/")
    parser.add_argument("--n", type=int, default=200, help="held-out inputs of each kind")
    parser.add_argument("--output", type=Path, help="where to save the table as JSON")
    arguments = parser.parse_args()
    base, instruct = (Checkpoint.load(arguments.checkpoints / name) for name in ("base", "instruct"))
    table = evaluate(base, instruct, arguments.n)
    figures.show(f"Held-out inputs, {arguments.checkpoints}", table)
    if arguments.output is not None:
        figures.save(arguments.output, table)


if __name__ == "__main__":
    main()
