"""Coverage-guided runs with atheris: `python -m tests.fuzz.guided TARGET CORPUS FINDINGS`.

Each target has its own process, since libFuzzer ends the process it runs in. Useful inputs stay in
the corpus folder and become seeds of the mutators. atheris exists for Linux on x86-64; elsewhere
`missing()` says so.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, Final

TARGETS: Final = ("message", "request", "name", "certificate", "query", "answer")
_MAX_LENGTH: Final = 65_536
_DONE: Final = re.compile(r"stat::number_of_executed_units: (\d+)")


def missing() -> str:
    """Why there can be no guided run here, or nothing."""
    if find_spec("atheris") is None:
        return (
            "atheris is not installed (it exists for Linux on x86-64 and CPython up to 3.13); the "
            "mutators alone ran"
        )
    return ""


def start(
    target: str, seconds: int, *, seed: int, corpus: Path, findings: Path
) -> subprocess.Popen[str]:
    """Start one guided run; its output tells `executions`."""
    corpus.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "tests.fuzz.guided", target, str(corpus), str(findings)]
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={_MAX_LENGTH}",
        "-timeout=10",
    ]
    quiet = [
        "-print_final_stats=1",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={findings}/{target.replace(' ', '-')}-",
    ]
    return subprocess.Popen(
        [*words, *options, *quiet], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def executions(output: str) -> int:
    match = _DONE.search(output)
    return int(match.group(1)) if match else 0


@contextmanager
def _instrumented() -> Iterator[Any]:
    import atheris

    with atheris.instrument_imports(include=["ca", "scep", "approvals.rules.submission"]):
        yield atheris


def main(arguments: list[str]) -> None:
    """Run until libFuzzer ends the process."""
    target, corpus, findings, *options = arguments
    with _instrumented() as atheris:
        from tests.fuzz.cases import SEEDS, Case
        from tests.fuzz.mutators import mutate
        from tests.fuzz.readers import described, read
    reported: set[str] = set()

    def try_one(data: bytes) -> None:
        try:
            read(target, data)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            fault = described(error)
            if fault.partition(": ")[0] not in reported:
                reported.add(fault.partition(": ")[0])
                name = Path(findings) / f"guided-{sha256(data).hexdigest()[:16]}.json"
                name.write_text(Case(target, data).to_json())
                sys.stdout.write(f"FINDING {fault} ({name})\n")

    def change(data: bytes, most: int, seed: int) -> bytes:
        if seed % 2:
            return bytes(atheris.Mutate(data, most))
        return mutate(Random(seed), data, SEEDS[target]())[:most]  # noqa: S311 - libFuzzer's own seed

    for number, seed in enumerate(SEEDS[target]()):
        (Path(corpus) / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *options, corpus], try_one, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
