"""Runs parsers on hostile inputs, each in a process of its own; see the package."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from fuzzing.parsers import PARSERS
from fuzzing.runs import Outcome, run


def main() -> int:
    """1 where a parser broke; its input is kept in the folder `fuzzing` here."""
    parser = argparse.ArgumentParser(prog="fuzzing", description="Pass hostile inputs to everything that reads files.")
    parser.add_argument("parsers", nargs="*", help="the parsers; default: all")
    parser.add_argument("--seconds", type=float, default=60, help="how long each one takes, about")
    parser.add_argument("--seed", type=int, default=None, help="where chance begins; default: anew")
    parser.add_argument("--input", type=Path, help="pass this file only")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parsers) - set(PARSERS))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(PARSERS)}")
    broken: list[Outcome] = []
    for name in arguments.parsers or PARSERS:
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            seed = int(started * 1e6) if arguments.seed is None else arguments.seed
            outcome = run(name, Path(folder), seconds=arguments.seconds, seed=seed, given=arguments.input)
            print(f"{name}: {outcome.examples} inputs in {time.monotonic() - started:.0f} s, seed {seed}, "
                  f"peak memory {outcome.peak // 2**20} MB")  # fmt: skip
        if outcome.problem:
            kept = Path("fuzzing") / f"{name}-{seed}"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(outcome.culprit)
            print(f"{outcome.problem}\nThe input is kept in {kept}.")
            broken.append(outcome)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
