"""The broken rules fit today's code, documents and tests; `python -m tests.mutation` runs them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutation.__main__ import Run, read_report
from tests.mutation.broken import (
    DOCUMENTS,
    Broken,
    Document,
    entries,
    faults_in,
    faults_of,
    lines_of,
)
from tests.mutation.definitions import canonical, change, split

CONFORMANCE, ATTACKS = DOCUMENTS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_line_of_a_document_can_be_broken_and_each_break_fits(document: Document) -> None:
    assert faults_in(document) == []


def test_the_lines_of_both_documents_are_found() -> None:
    lines = dict(CONFORMANCE.lines())
    assert len(lines) == len(list(CONFORMANCE.lines())) >= 60, "each line has a name of its own"
    assert set(lines) - {name for name, _ in CONFORMANCE.needing()} == {
        "2.8: no revocation in SCEP",
        "4.2.1.1: GetCACert with a single certificate",
        "6: IANA",
        "7.7: traffic monitoring",
    }
    numbers = [int(name.removeprefix("D-")) for name, _ in ATTACKS.needing()]
    assert numbers == sorted(set(numbers))
    assert numbers[:49] == [number for number in range(1, 51) if number != 49]


def wrong(entry: Broken) -> Iterator[tuple[Broken, str]]:
    yield replace(entry, line="D-0"), "0 lines of docs/internals/attacks.md have this name"
    yield replace(entry, old="no such text"), "the old text is there 0 times"
    yield replace(entry, old="\n"), "times, not once"
    yield replace(entry, new="not Python at all"), "invalid syntax"
    yield replace(entry, definition="no.such.module"), "there is no such module"
    yield replace(entry, definition=f"{entry.definition}.missing"), "it is there 0 times, not once"
    yield replace(entry, definition="", file="templates/missing.html"), "No such file"
    yield replace(entry, definition=""), "an entry names a definition, or a file that is not Python"
    yield (
        replace(entry, file="templates/base.html"),
        "an entry names a definition, or a file that is not Python",
    )
    yield (
        replace(entry, definition="", file="ca/csr.py"),
        "an entry names a definition, or a file that is not Python",
    )
    yield replace(entry, tests=("scep/test_http.py::test_nobody",)), "there is no such test"
    yield (
        replace(entry, tests=("scep/test_codec.py::test_a_pkcs_req_is_read",)),
        "the line does not name it",
    )


def test_a_break_that_does_not_fit_any_more_is_named() -> None:
    entry = entries(ATTACKS)[0]
    assert list(faults_of(entry, ATTACKS)) == []
    for changed, text in wrong(entry):
        assert any(text in fault for fault in faults_of(changed, ATTACKS)), text
    assert len(lines_of(replace(entry, line="3.2.1"), CONFORMANCE)) > 1, (
        "a beginning that several lines have is no name"
    )


MODULE = """
from functools import cache
LIMIT = (  # seconds
    60
)
if LIMIT:
    def twice(): return 1
else:
    def twice(): return 2
@cache
def outer(number):
    def inner():
        return ("a"
                "b",)
    return inner() + inner()
class Signer:
    LIMIT: int = 5
    async def sign(self): return {"key": self.LIMIT}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    for name in ("package/__init__.py", "package/module.py", "top.py"):
        (tmp_path / name).write_text(MODULE)
    return tmp_path


@pytest.mark.parametrize("module", ["package", "package.module", "top"])
@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        (".LIMIT", "60", "61", "LIMIT = 61\nif LIMIT:"),
        (".Signer.LIMIT", "5", "6", "    LIMIT: int = 6\n"),
        (".Signer.sign", "{'key': self.LIMIT}", "5", "    async def sign(self):\n        return 5"),
        (".Signer", "    LIMIT: int = 5\n", "", "class Signer:\n\n    async def sign(self):"),
        (".outer", "@cache\n", "", "def outer(number):\n"),
        (
            ".outer.inner",
            "return ('ab',)",
            "pass\n    return ()",
            "        pass\n        return ()\n    return inner()",
        ),
        (
            ".outer.inner",
            "def inner():\n    return ('ab',)",
            "inner = list",
            "    inner = list\n    return inner() + inner()",
        ),
        (
            "",
            "from functools import cache\nLIMIT",
            "cache = list\nLIMIT",
            "cache = list\nLIMIT = 60",
        ),
    ],
)
def test_a_definition_is_changed_in_its_canonical_form(
    root: Path, module: str, name: str, old: str, new: str, changed: str
) -> None:
    file, _ = split(module + name, root)
    assert (
        file
        == {
            "package": "package/__init__.py",
            "package.module": "package/module.py",
            "top": "top.py",
        }[module]
    )
    assert changed in change(module + name, old, new, root)


def test_the_canonical_form_of_a_definition_has_neither_its_layout_nor_its_indentation(
    root: Path,
) -> None:
    assert canonical("top.LIMIT", root) == "LIMIT = 60"
    assert canonical("top.outer.inner", root) == "def inner():\n    return ('ab',)"
    assert (
        canonical("top.Signer.sign", root)
        == "async def sign(self):\n    return {'key': self.LIMIT}"
    )


@pytest.mark.parametrize(
    ("definition", "old", "fault"),
    [
        ("missing.name", "1", "missing.name: there is no such module"),
        ("top.missing", "1", "top.missing: it is there 0 times, not once"),
        ("top.LIMIT.real", "1", "top.LIMIT.real: it is there 0 times, not once"),
        ("top.twice", "1", "top.twice: it is there 2 times, not once"),
        ("top.outer", "inner()", "top.outer: the old text is there 3 times, not once"),
        ("top.outer", '"a"', "top.outer: the old text is there 0 times, not once"),
        ("top.Signer.LIMIT", "sign", "top.Signer.LIMIT: the old text is there 0 times, not once"),
    ],
)
def test_a_change_fits_one_definition_and_one_place_in_it(
    root: Path, definition: str, old: str, fault: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        change(definition, old, "2", root)


REPORT = """<testsuites><testsuite>
<testcase classname="tests.scep.test_http" name="test_a[1]"/>
<testcase classname="tests.scep.test_http" name="test_a[2]"><failure message="assert 200 == 400">
&gt;       assert answer.status_code == 400
E       assert 200 == 400</failure></testcase>
<testcase classname="tests.scep.test_http" name="test_b"><skipped message="no server"/></testcase>
<testcase classname="tests.scep.test_http" name="test_c"/>
</testsuite></testsuites>"""


def test_of_a_report_each_test_says_what_failed_and_only_what_ran_has_passed(
    tmp_path: Path,
) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    run = Run(1, read_report(report))
    assert run.failed()["scep/test_http.py::test_a[2]"] == (
        "failure: assert 200 == 400 | assert answer.status_code == 400"
    )
    passed = [name for name in "abcd" if run.has_passed(f"scep/test_http.py::test_{name}")]
    assert passed == ["c"]
