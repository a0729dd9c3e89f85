"""Sections of documents that are made from code are current, and decisions have one form."""

import re
from pathlib import Path

import pytest

from tests.architecture import generated
from tests.architecture.measures import ROOT

#: The files of the tree are listed by git.
pytestmark = pytest.mark.usefixtures("starts_processes")

DECISIONS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
NEVER_USED = {31, 32, 38}


@pytest.mark.parametrize("document", generated.SECTIONS)
def test_generated_sections_are_current(document: str) -> None:
    """Where this fails: `python -m tests.architecture.generated`, and commit what it wrote."""
    assert (ROOT / document).read_text() == generated.current(document)


def test_a_section_is_replaced_between_its_comments() -> None:
    document = "before\n<!-- a: old -->\ntext\n<!-- end of a -->\nafter\n"
    replaced = generated.written(document, "a", r"new \1")
    assert replaced.startswith("before\n<!-- a: written by ")
    assert replaced.endswith(" -->\nnew \\1\n<!-- end of a -->\nafter\n")


def test_a_section_that_is_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 sections are named a"):
        generated.written("text", "a", "new")


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_decisions_have_one_form(path: Path) -> None:
    number, _, status, _ = generated.heading(path)
    text = path.read_text()
    assert path.name.startswith(f"{int(number):04}-")
    assert re.fullmatch(r"accepted|replaced by ADR \d+", status)
    assert re.findall(r"^#+ (.+)$", text, re.M)[1:4] == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 70


def test_numbers_of_decisions_have_no_other_gap() -> None:
    numbers = {int(path.name[:4]) for path in DECISIONS}
    assert numbers == set(range(1, max(numbers) + 1)) - NEVER_USED
    sentence = "The numbers 31, 32 and 38\nwere never used."
    assert sentence in (ROOT / generated.DECISIONS).read_text()
