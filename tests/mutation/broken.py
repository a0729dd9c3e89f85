"""The tables of broken rules: each line of a document, undone by one change of the code.

A change has to fit today's code, belong to an existing line, and name tests that this line cites.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.flows.test_conformance import ROOT, files_of
from tests.mutation.definitions import change, split

FOLDER: Final = Path(__file__).parent
#: Lines about parts that are not built, and so cannot be broken.
_NOT_APPLICABLE: Final = "not applicable"
_CITATION: Final = re.compile(r"`([^`]+)`((?:,? \*[^*]+\*)*)")


@dataclass(frozen=True, slots=True)
class Document:
    """A table of a document: the column that tells whether there is a rule, and the line's name."""

    name: str
    path: str
    columns: int
    state: int
    named_by: tuple[int, ...]

    def lines(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the full name and the cells of each line, in their order."""
        for text in (ROOT / self.path).read_text().splitlines():
            cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
            is_row = (
                text.startswith("| ") and len(cells) == self.columns and cells[0] not in {"§", "id"}
            )
            if is_row and (self.name != "attacks" or cells[0].startswith("D-")):
                yield ": ".join(cells[column] for column in self.named_by), cells

    def needing(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the lines of which a break is wanted."""
        return (
            line for line in self.lines() if not line[1][self.state].startswith(_NOT_APPLICABLE)
        )


DOCUMENTS: Final = (
    Document(
        "conformance", "docs/internals/rfc8894-conformance.md", columns=4, state=2, named_by=(0, 1)
    ),
    Document("attacks", "docs/internals/attacks.md", columns=4, state=3, named_by=(0,)),
)


@dataclass(frozen=True, slots=True)
class Broken:
    """One change: `old` occurs once; with `new` in its place one of `tests` fails.

    Tests are node ids below tests/. `line` is the name of the line, or a unique beginning of it.
    Python code is changed in one `definition`, by its dotted name and in the form of `ast.unparse`;
    any other file is named by its path.
    """

    line: str
    how: str
    old: str
    new: str
    tests: tuple[str, ...]
    definition: str = ""
    file: str = ""

    @property
    def path(self) -> str:
        """The changed file below the root. Raises ValueError unless the entry names one."""
        if bool(self.definition) is bool(self.file) or self.file.endswith(".py"):
            raise ValueError("an entry names a definition, or a file that is not Python")
        return self.file or split(self.definition, ROOT)[0]

    def changed(self) -> str:
        """Return the file with the change. Raises ValueError where the change does not fit."""
        text = (ROOT / self.path).read_text()
        if self.definition:
            return change(self.definition, self.old, self.new, ROOT)
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.file}: the old text is there {text.count(self.old)} times, not once"
            )
        return text.replace(self.old, self.new)


@cache
def entries(document: Document) -> tuple[Broken, ...]:
    """Read the table of one document."""
    rows = tomllib.loads((FOLDER / f"broken-{document.name}.toml").read_text())["broken"]
    return tuple(Broken(**row | {"tests": tuple(row["tests"])}) for row in rows)


def lines_of(entry: Broken, document: Document) -> list[tuple[str, list[str]]]:
    """Return the lines that an entry may mean: one, or it names none or several."""
    lines = list(document.lines())
    exact = [line for line in lines if line[0] == entry.line]
    return exact or [
        line for line in lines if document.name != "attacks" and line[0].startswith(entry.line)
    ]


def faults_of(entry: Broken, document: Document) -> Iterator[str]:
    """Yield the faults of an entry, as sentences."""
    lines = lines_of(entry, document)
    if len(lines) != 1:
        yield f"{len(lines)} lines of {document.path} have this name"
        return
    try:
        entry.changed()
    except (OSError, ValueError, SyntaxError) as error:
        yield str(error)
    for test in entry.tests:
        path, _, name = test.partition("::")
        name = name.partition("[")[0]
        if not re.search(
            rf"^(?:async )?def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE
        ):
            yield f"{test}: there is no such test"
        if not _is_cited(path, name, lines[0][1][-1]):
            yield f"{test}: the line does not name it"


def _is_cited(path: str, name: str, cell: str) -> bool:
    for file, beginnings in _CITATION.findall(cell):
        begun = [text.replace(" ", "_") for text in re.findall(r"\*([^*]+)\*", beginnings)]
        if ROOT / "tests" / path in files_of(file) and (
            not begun or any(name.removeprefix("test_").startswith(text) for text in begun)
        ):
            return True
    return False


def faults_in(document: Document) -> list[str]:
    """Return everything that is wrong with the table of a document."""
    faults = [
        f"{entry.line} ({entry.how}): {fault}"
        for entry in entries(document)
        for fault in faults_of(entry, document)
    ]
    return faults + [f"{document.path}: nothing breaks {name}" for name in without_entry(document)]


def without_entry(document: Document) -> list[str]:
    """Return the lines that should have an entry and have none."""
    broken = {line[0] for entry in entries(document) for line in lines_of(entry, document)}
    return [name for name, _ in document.needing() if name not in broken]
