"""The glossary explains words that code or pages use, one line each, in order."""

import re

import pytest

from tests.architecture.measures import ROOT, modules, tracked

#: The files of the tree are listed by git.
pytestmark = pytest.mark.usefixtures("starts_processes")

ENTRY = re.compile(r"^\* \*\*(.+?)\*\*: (.+\.)$", re.MULTILINE)
TEXT = (ROOT / "docs/glossary.md").read_text()
WORDS = [word for word, _ in ENTRY.findall(TEXT)]


def test_there_are_forty_words_in_order_with_one_line_each() -> None:
    assert len(WORDS) == 40
    assert sorted(WORDS, key=str.lower) == WORDS
    assert len(WORDS) == len(re.findall(r"^\* ", TEXT, re.MULTILINE))


def test_every_word_occurs_in_code_or_pages() -> None:
    pages = [(ROOT / path).read_text() for path in tracked() if path.startswith("templates/")]
    text = " ".join("\n".join([*pages, *(module.text for module in modules())]).split()).lower()
    assert [word for word in WORDS if not re.search(rf"\b{word.lower()}", text)] == []


def test_readme_and_index_lead_to_the_glossary() -> None:
    assert "](docs/glossary.md)" in (ROOT / "README.md").read_text()
    assert "](glossary.md)" in (ROOT / "docs/README.md").read_text()
