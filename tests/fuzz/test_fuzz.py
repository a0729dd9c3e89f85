"""The fuzzer itself: it finds planted faults, reports its work, and passes the product."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509.asn1 import Asn1Error, der, der_sequence
from ca.x509.bounds import prescan
from ca.x509.csr import decode_csr
from scep.errors import PLANNED
from scep.protocol.errors import Malformed
from tests.fuzz import guided, measure, readers
from tests.fuzz.cases import DOOR, READERS, SEEDS, Case, Maker, Shares
from tests.fuzz.measure import Bench, Measured
from tests.fuzz.mutators import MUTATIONS, Mutation, Tree, mutate
from tests.fuzz.report import Guided, Tally, as_json, as_text
from tests.pki import FOLDER
from tests.scep.forge import csr, forge

ROOT = FOLDER.parent.parent
NO_DOOR = Shares(door=0.0)


def no_door(case: Case) -> str:
    raise AssertionError("nothing here goes through the door")


def tried(numbers: range, seed: int = 1) -> Tally:
    tally, maker, bench = Tally(), Maker(seed, NO_DOOR), Bench(no_door)
    for number in numbers:
        case = maker.case(number)
        tally.see(number, case, bench.run(case, number))
    return tally


def test_a_run_over_every_reader_meets_planned_exceptions_only() -> None:
    tally = tried(range(1, 1_500))
    assert [finding for finding in tally.findings if "ms of CPU" not in finding[2]] == []
    assert {target for target, _ in tally.outcomes} == set(READERS)


@pytest.mark.parametrize("target", READERS)
def test_every_seed_is_read_or_refused_as_planned(target: str) -> None:
    outcomes = {readers.read(target, seed) for seed in SEEDS[target]()}
    assert "read" in outcomes


def test_the_same_number_of_the_same_seed_is_the_same_case() -> None:
    """Signatures are random, so cases that are signed again differ in these bytes."""
    shares = Shares(resigned=0.0)
    one, other = Maker(7, NO_DOOR._replace(resigned=0.0)), Maker(7, NO_DOOR._replace(resigned=0.0))
    assert [one.case(n).data for n in range(50)] == [other.case(n).data for n in range(50)]
    assert one.case(3).data != Maker(8, shares).case(3).data


def test_what_is_planted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: dict[str, object] = {"RecursionError": RecursionError, "AttributeError": AttributeError}
    for name, error in faults.items():

        def fail(data: bytes, error: object = error) -> None:
            raise error("planted")  # type: ignore[operator]  # an exception class

        monkeypatch.setitem(readers.READERS, "name", (fail, PLANNED["name"]))
        measured = Bench(no_door).run(Case("name", b"x"), 1)
        assert (measured.outcome, measured.fault.partition(" ")[0]) == ("unplanned", name)


def test_what_takes_too_long_or_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        readers.READERS, "name", (lambda _: bytearray(80 << 20) and None, PLANNED["name"])
    )
    assert "MiB: at most 50" in Bench(no_door).run(Case("name", b"x"), 0).fault
    monkeypatch.setattr(measure, "MAX_CPU_MS", 0.0)
    monkeypatch.setitem(
        readers.READERS, "name", (lambda _: sum(range(10_000)) and None, PLANNED["name"])
    )
    assert "ms of CPU: at most" in Bench(no_door).run(Case("name", b"x"), 1).fault


def test_a_challenge_left_in_a_kept_request_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ca.x509.csr.CertificationRequest.stored_der", property(lambda self: self.der)
    )
    csr_der = csr("alice", "a challenge of some length")
    assert decode_csr(csr_der).challenge_password == "a challenge of some length"
    with pytest.raises(readers.Broken, match="challenge stands"):
        readers.read("request", csr_der)


def test_findings_are_saved_with_their_bytes_and_read_again() -> None:
    case = Case(DOOR, b"\x00\xff", "GET", "routers", "operation=\u00e9", (("HTTP_HOST", "\x00"),))
    assert Case.from_json(case.to_json()) == case
    with pytest.raises((ValueError, KeyError, TypeError)):
        Case.from_json("{}")


def test_the_report_adds_up_over_processes() -> None:
    one, other = Tally(), Tally()
    one.see(1, Case("name", b""), Measured("read", 1.0, 0.5, 10))
    other.see(2, Case("name", b""), Measured("unplanned", 3.0, None, 2_048, "KeyError at x:1: y"))
    one.add(other)
    text = as_text(
        one, Guided(absent="not asked for"), seed=5, seconds=2.0, folder=Path("findings")
    )
    assert "2 messages in 2 s (1/s), seed 5" in text
    assert "1 unplanned exceptions or responses 5xx, 1 findings in all" in text
    assert "message 2 (name): KeyError at x:1: y" in text
    figures = json.loads(as_json(one, Guided({"name": 7}), seed=5, seconds=2.0))
    assert (figures["messages"], figures["unplanned"], figures["guided"]["executions"]) == (
        2,
        1,
        {"name": 7},
    )
    assert figures["slowest_cpu_ms"]["name"] == [3.0, 2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_each_mutation_changes_a_message_and_never_fails(mutation: Mutation) -> None:
    for good in (forge(), forge(indefinite=True), csr()):
        tree = Tree.of(good)
        assert {mutation(chance, tree, csr()) for chance in map(Random, range(30))} - {good}


@given(st.binary(max_size=300), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_anything_can_be_mutated(data: bytes, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - repeatable
    assert isinstance(mutate(chance, data, (csr(), data)), bytes)


values = st.recursive(
    st.tuples(
        st.sampled_from([0x02, 0x04, 0x06, 0x0C, 0x13, 0x80]), st.binary(min_size=1, max_size=20)
    ).map(lambda pair: der(pair[0], pair[1])),
    lambda inner: st.lists(inner, max_size=5).map(lambda parts: der_sequence(*parts)),
    max_leaves=25,
)


@given(values)
@settings(max_examples=300, deadline=None)
def test_a_tree_puts_every_value_back_where_it_was(data: bytes) -> None:
    tree = Tree.of(data)
    assert all(tree.replaced(number, tree.raw(number)) == data for number in range(len(tree.nodes)))


@given(values, st.sampled_from(READERS))
@settings(max_examples=400, deadline=None)
def test_whatever_well_formed_value_is_read_is_refused_as_planned(data: bytes, target: str) -> None:
    assert readers.read(target, data)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_the_pre_scan_takes_any_bytes(data: bytes) -> None:
    try:
        prescan(data)
    except Asn1Error:
        return
    assert len(data) >= 2


def test_where_atheris_is_missing_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided, "find_spec", lambda _: None)
    assert guided.missing().startswith("atheris is not installed")
    assert "the mutators alone ran" in guided.missing()
    assert guided.executions("stat::number_of_executed_units: 17\n") == 17
    assert guided.executions("") == 0


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.timeout(300)
@pytest.mark.embedded
def test_the_command_runs_through_the_door_reports_and_replays(tmp_path: Path) -> None:
    def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [
            sys.executable,
            "-m",
            "tests.fuzz",
            *arguments,
            "--findings",
            str(tmp_path / "found"),
        ]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    report = tmp_path / "report.json"
    options = [
        "--messages",
        "60",
        "--seed",
        "5",
        "--door",
        "0.5",
        "--guided",
        "0",
        "--processes",
        "2",
    ]
    done = fuzz(*options, "--report", str(report))
    figures = json.loads(report.read_text())
    assert figures["messages"] == 60, done.stderr
    assert figures["unplanned"] == 0
    assert sum(figures["outcomes"][DOOR].values()) > 10
    saved = tmp_path / "one.json"
    saved.write_text(Case("message", b"\x30\x00").to_json())
    replayed = fuzz("--replay", str(saved))
    assert (replayed.returncode, "message, 2 bytes: Malformed" in replayed.stdout) == (0, True)
    saved.write_text("{}")
    assert fuzz("--replay", str(saved)).returncode == 2
    assert Malformed in PLANNED["message"]
