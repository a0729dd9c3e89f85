"""Reads the fenced blocks of the documents as Markdown does, and the command lines in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENTS: Final = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
_HERE_DOCUMENT: Final = re.compile(r"<<-?\s*'?(\w+)'?")


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block. A block without a language holds command lines."""

    document: str
    line: int
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One command with all its lines: continuations, and the here-document that it reads."""

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line} {self.text.splitlines()[0]}"


def fences() -> Iterator[Fence]:
    """Yield every fenced block of every document, those inside of lists too."""
    for path in DOCUMENTS:
        yield from fences_of(path.read_text(), str(path.relative_to(ROOT)))


def fences_of(text: str, document: str) -> Iterator[Fence]:
    """Yield the fenced blocks of one text."""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence" and token.map is not None:
            yield Fence(document, token.map[0] + 1, token.info.strip(), token.content)


def command_lines(fence: Fence) -> Iterator[CommandLine]:
    """Yield the commands of a block in order, without empty lines and comments."""
    lines = iter(enumerate(fence.text.splitlines(), start=fence.line + 1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [line]
        while parts[-1].endswith("\\"):
            parts.append(next(lines)[1])
        if end := _HERE_DOCUMENT.search(line):
            while parts[-1].strip() != end[1]:
                parts.append(next(lines)[1])
        yield CommandLine(fence.document, number, "\n".join(parts))
