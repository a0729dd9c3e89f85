"""Break each rule of the documents on purpose, in a copy of the tree, and see that a test notices.

python -m tests.mutation                             # both tables
python -m tests.mutation conformance --line 3.2.1    # the lines that begin so
python -m tests.mutation --check-only                # whether each change still fits
python -m tests.mutation --show ca.x509.csr._decode  # the form in which changes are written
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.flows.test_conformance import ROOT
from tests.mutation.broken import DOCUMENTS, Broken, entries, faults_in
from tests.mutation.definitions import canonical

_LIMIT: Final = 300.0  # seconds for one test
#: One process, in the order of the file. Tables from the models, and no plugin that is not needed:
#: thrice as quick.
_OPTIONS: Final = (
    "-q",
    "--no-migrations",
    *(f"-pno:{name}" for name in ("xdist", "randomly", "hypothesispytest")),
)
#: Some tests want an answer within a second. On a busy machine that fails whatever the rule.
_TOO_SLOW: Final = re.compile(r"(perf_counter|thread_time)\(\)|Timeout")
#: A change that is not valid Python or SQL any more fails every test, which proves nothing about
#: the rule.
_NO_BREAK: Final = re.compile(
    r"\b(Import|ModuleNotFound|Name|Syntax|Indentation|UnboundLocal|Attribute)Error\b"
)
_SQL: Final = "syntax error"


@dataclass(frozen=True, slots=True)
class Run:
    """pytest's result: its exit code, and the fault of each test (file::name), "" if none."""

    code: int
    outcomes: dict[str, str]
    output: str = ""

    def failed(self) -> dict[str, str]:
        return {test: fault for test, fault in self.outcomes.items() if fault}

    def has_passed(self, test: str) -> bool:
        own = [
            fault
            for name, fault in self.outcomes.items()
            if name == test or name.partition("[")[0] == test
        ]
        return bool(own) and not any(own)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one entry: the test that noticed, or why none counts."""

    entry: Broken
    noticed_by: str = ""
    said: str = ""
    fault: str = ""


class Tree:
    """A throw-away copy of the working tree, in which one rule at a time is broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(
            listed, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file() and name != ".venv":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())

    def run(self, tests: Sequence[str], *options: str) -> Run:
        """Run tests in one process."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        nodes = [f"tests/{test}" for test in tests]
        command = [
            sys.executable,
            "-m",
            "pytest",
            *_OPTIONS,
            f"--junitxml={report}",
            *options,
            *nodes,
        ]
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT * len(tests),
        )
        return Run(done.returncode, read_report(report) if report.exists() else {}, done.stdout)

    def noticed(self, entry: Broken) -> Result:
        """Break a rule, see whether a test fails, and mend it."""
        path = self.folder / entry.path
        path.write_text(entry.changed())
        for left in path.parent.glob(
            f"__pycache__/{path.stem}.*"
        ):  # of the same second and size, it would be believed
            left.unlink()
        try:
            run = self.run(entry.tests, "-x")
        except subprocess.TimeoutExpired:
            return Result(entry, fault="no end")
        finally:
            shutil.copy2(ROOT / entry.path, path)
            for left in path.parent.glob(f"__pycache__/{path.stem}.*"):
                left.unlink()
        failed = {
            test: fault for test, fault in run.failed().items() if fault.startswith("failure")
        }
        if run.code != 1 or not failed:
            return Result(
                entry, fault="not noticed" if run.code == 0 else f"pytest ended with {run.code}"
            )
        ((test, fault), *_) = failed.items()
        if _NO_BREAK.search(" ".join(run.failed().values())) or _SQL in run.output:
            return Result(entry, test, fault, fault="not the rule is broken, but the code")
        if _TOO_SLOW.search(fault):
            return Result(entry, test, fault, fault="the machine is too busy to tell")
        return Result(entry, test, fault)


def read_report(report: Path) -> dict[str, str]:
    """Return the fault of each test in a junit report, "" without one; a skipped test has one."""
    outcomes: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own report
        path = case.get("classname", "").removeprefix("tests.").replace(".", "/")
        faults = [_said(part) for part in case if part.tag in {"failure", "error", "skipped"}]
        name = f"{path}.py::{case.get('name')}"
        # A failure after a test is a case of its own, with the same name.
        outcomes[name] = " ".join(filter(None, [outcomes.get(name, ""), *faults]))
    return outcomes


def _said(part: ET.Element) -> str:
    """Return the text of a failure, and the failed line, which pytest marks."""
    marked = [line[1:].strip() for line in (part.text or "").splitlines() if line.startswith(">")]
    return f"{part.tag}: {part.get('message', '')} | {marked[-1] if marked else ''}"


def _work(entries: Sequence[Broken]) -> list[Result]:
    """See whether the tests pass as things are, then break one rule after the other."""
    if not entries:
        return []
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="broken-") as folder:
        tree = Tree(Path(folder))
        before = tree.run(list(dict.fromkeys(test for entry in entries for test in entry.tests)))
        slow = [test for test, fault in before.failed().items() if _TOO_SLOW.search(fault)]
        before.outcomes.update(tree.run(slow).outcomes if slow else {})
        for entry in entries:
            failing = [test for test in entry.tests if not before.has_passed(test)]
            result = (
                Result(entry, fault=f"fails unchanged: {failing}")
                if failing
                else tree.noticed(entry)
            )
            print(  # noqa: T201
                result.fault or "noticed",
                "-",
                entry.line,
                "-",
                entry.how,
                file=sys.stderr,
                flush=True,
            )
            results.append(result)
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=(__doc__ or "").partition("\n")[0]
    )
    names = [document.name for document in DOCUMENTS]
    parser.add_argument(
        "tables", nargs="*", choices=[*names, []], help=f"of {' and '.join(names)}; both without"
    )
    parser.add_argument("--line", action="append", default=[], help="entries whose line begins so")
    parser.add_argument(
        "--check-only", action="store_true", help="only whether each change fits today's code"
    )
    parser.add_argument(
        "--show", metavar="DEFINITION", help="only print a definition as changes are written in it"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="with what the test said")
    return parser.parse_args()


def main() -> int:
    """Print one table per document; status 1 for an unnoticed break or an outdated entry."""
    arguments = _arguments()
    if arguments.show:
        print(canonical(arguments.show, ROOT))  # noqa: T201
        return 0
    documents = [
        document
        for document in DOCUMENTS
        if not arguments.tables or document.name in arguments.tables
    ]
    faults = [fault for document in documents for fault in faults_in(document)]
    for fault in faults:
        print(fault)  # noqa: T201
    if arguments.check_only:
        return 1 if faults else 0
    for document in documents:
        selected = [
            e
            for e in entries(document)
            if not arguments.line or e.line.startswith(tuple(arguments.line))
        ]
        with ThreadPoolExecutor(arguments.processes) as pool:
            shares = pool.map(
                _work,
                [selected[number :: arguments.processes] for number in range(arguments.processes)],
            )
            results = {result.entry: result for share in shares for result in share}
        print(f"\n## {document.path}\n\n| line | broken how | noticed by |\n|---|---|---|")  # noqa: T201
        for entry in selected:
            result = results[entry]
            # The beginning of the test's text, so that a person can check that it is about the
            # rule.
            suffix = f": {result.said[:150]}" if arguments.verbose else ""
            noticed = (
                f"**{result.fault}** {result.noticed_by}"
                if result.fault
                else f"`{result.noticed_by}`"
            )
            print(f"| {entry.line} | {entry.how} | {noticed}{suffix} |".replace("\n", " "))  # noqa: T201
        bad = sum(bool(result.fault) for result in results.values())
        print(f"\n{len(selected)} broken, {len(selected) - bad} noticed")  # noqa: T201
        faults += ["unnoticed"] * bad
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
