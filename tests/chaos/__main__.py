"""The kill test: `python -m tests.chaos [--database postgresql|sqlite] [--requests N]`.

Status 1 if anything broke.
"""

import argparse
import sys

from tests.chaos.conductor import Plan, Run

_SECONDS = {"postgresql": 120.0, "sqlite": 75.0}


def main() -> int:
    """Run one kill test and print its report."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kill everything, lose nothing."
    )
    parser.add_argument("--database", choices=sorted(_SECONDS), default="postgresql")
    parser.add_argument("--requests", type=int, default=300, metavar="N")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long the killing goes on")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the order and times of random kills"
    )
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs and data")
    options = parser.parse_args()
    seconds = options.seconds or _SECONDS[options.database]
    outcome = Run(
        Plan(options.database, options.requests, seconds, options.seed, options.keep)
    ).execute()
    sys.stdout.write(outcome.text() + "\n")
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
