"""The tables of broken rules fit today's code, documents and tests; `python -m tests.mutation` breaks them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutation.__main__ import Run, read_report
from tests.mutation.broken import DOCUMENTS, Broken, Document, entries, faults_in, faults_of, lines_of

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
    yield replace(entry, line="D-0"), "0 lines of docs/attacks.md have this name"
    yield replace(entry, old="no such text"), "the old text is there 0 times"
    yield replace(entry, old="\n"), "times, not once"
    yield replace(entry, new="not Python at all"), "invalid syntax"
    yield replace(entry, file="no/such/file.py"), "No such file"
    yield replace(entry, tests=("scep/test_http.py::test_nobody",)), "there is no such test"
    yield replace(entry, tests=("scep/test_codec.py::test_a_pkcs_req_is_read",)), "the line does not name it"


def test_a_break_that_does_not_fit_any_more_is_named() -> None:
    entry = entries(ATTACKS)[0]
    assert list(faults_of(entry, ATTACKS)) == []
    for changed, text in wrong(entry):
        assert any(text in fault for fault in faults_of(changed, ATTACKS)), text
    assert len(lines_of(replace(entry, line="3.2.1"), CONFORMANCE)) > 1, (
        "a beginning that several lines have is no name"
    )


REPORT = """<testsuites><testsuite>
<testcase classname="tests.scep.test_http" name="test_a[1]"/>
<testcase classname="tests.scep.test_http" name="test_a[2]"><failure message="assert 200 == 400">
&gt;       assert answer.status_code == 400
E       assert 200 == 400</failure></testcase>
<testcase classname="tests.scep.test_http" name="test_b"><skipped message="no server"/></testcase>
<testcase classname="tests.scep.test_http" name="test_c"/>
</testsuite></testsuites>"""


def test_of_a_report_each_test_says_what_failed_and_only_what_ran_has_passed(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    run = Run(1, read_report(report))
    assert run.failed()["scep/test_http.py::test_a[2]"] == (
        "failure: assert 200 == 400 | assert answer.status_code == 400"
    )
    passed = [name for name in "abcd" if run.has_passed(f"scep/test_http.py::test_{name}")]
    assert passed == ["c"]
