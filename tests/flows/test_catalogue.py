"""The catalogue of attacks names an existing test for each row, or the reason without one."""

import re
from collections.abc import Iterator

import pytest

from tests.flows.test_conformance import ROOT, files_of

TABLE = ROOT / "docs" / "internals" / "attacks.md"
#: What stands in the place of a test, for what is not built yet or not there at all.
WAITS = re.compile(r"(comes with|not applicable): \w")


def rows() -> Iterator[tuple[str, str]]:
    """First and last column of each row of the tables with tests."""
    for line in TABLE.read_text().split("## Published advisories")[1].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "id":
            yield cells[0], cells[-1]


def test_every_attack_of_the_catalogue_has_its_row_in_order() -> None:
    numbers = [int(name.removeprefix("D-")) for name, _ in rows() if name.startswith("D-")]
    assert numbers == sorted(numbers)
    assert numbers[:50] == list(range(1, 51))
    assert len({name for name, _ in rows()}) == len(list(rows()))


@pytest.mark.parametrize(("name", "shown"), list(rows()))
def test_each_row_names_a_test_that_exists_or_says_what_it_waits_for(name: str, shown: str) -> None:
    cited = re.findall(r"`([^`]+)`((?:,? \*[^*]+\*)+)", shown)
    assert cited or WAITS.search(shown), f"{name}: no test"
    for file, beginnings in cited:
        (path, *_) = files_of(file)
        known = re.findall(r"def test_(\w+)", path.read_text())
        for beginning in re.findall(r"\*([^*]+)\*", beginnings):
            assert any(one.startswith(beginning.replace(" ", "_")) for one in known), (
                f"{name}: {file} *{beginning}*"
            )


def test_the_attack_client_names_rows_of_the_catalogue() -> None:
    from tests.attack.deviations import DEVIATIONS

    known = {name for name, _ in rows()}
    for flag, deviation in DEVIATIONS.items():
        assert deviation.attack in known or deviation.attack in {"A4", "A6"}, flag
