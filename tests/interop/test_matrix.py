"""The matrix has no hole and no unknown cell, and its page shows the results."""

import pytest

from tests.interop.matrix import CLIENTS, IMPOSSIBLE, SCENARIOS, Cell, Matrix, document, render


def full() -> Matrix:
    matrix = Matrix()
    for client in CLIENTS:
        for scenario in SCENARIOS:
            if (client, scenario) not in IMPOSSIBLE:
                matrix.note(Cell(client, scenario), "passed")
    return matrix


def test_a_matrix_without_a_hole_or_a_failure_is_green() -> None:
    assert full().is_green()


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_one_test_that_did_not_pass_spoils_its_cell(outcome: str) -> None:
    matrix = full()
    matrix.note(Cell("own", "renewal"), outcome)
    assert not matrix.is_green()
    assert matrix.text("own", "renewal") == {"failed": "**fails**", "skipped": "works"}[outcome]


def test_a_cell_without_test_or_reason_is_named() -> None:
    matrix = full()
    del matrix.outcomes[Cell("own", "get")]
    assert matrix.missing() == ["own, get"]
    assert not matrix.is_green()


@pytest.mark.parametrize(
    ("client", "scenario"), [("unknown", "get"), ("own", "nothing"), *list(IMPOSSIBLE)[:1]]
)
def test_a_cell_that_cannot_be_is_refused(client: str, scenario: str) -> None:
    with pytest.raises(ValueError, match=f"cell {client}, {scenario}"):
        Cell(client, scenario)


def test_the_page_has_a_row_for_each_scenario_and_the_versions_that_ran() -> None:
    page = render(document(full(), {"strongswan": "5.9.8"}, "Debian"))
    assert "strongSwan pki 5.9.8" in page
    assert all(f"| {title} |" in page for title in SCENARIOS.values())
