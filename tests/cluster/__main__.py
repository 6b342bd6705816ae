"""Twenty kills: `python -m tests.cluster --seed 1`; kills.py says what is checked."""

import argparse
import random
import tempfile
from pathlib import Path

from tests.cluster.kills import Campaign


def main() -> None:
    """Runs them."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what is killed, and when")
    parser.add_argument("--n", type=int, default=20, help="how many kills")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        n = Campaign(given.seed, Path(place)).run(given.n)
    print(f"{n['worker']} workers and {n['driver']} drivers killed; {n['finished']} jobs gave the same as without")


if __name__ == "__main__":
    main()
