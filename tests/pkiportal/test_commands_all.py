"""Rules for every command: documented, sorted rights, one sentence without a database."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.management import CommandError, get_commands, load_command_class
from django.db import DatabaseError, ProgrammingError, connection, transaction

from approvals.decisions.decide import approve_request
from approvals.models.requests import EnrollmentRequest
from approvals.reading.queue import search
from audit.models import AuditEntry
from ca.certificates.profile_versions import resolve_version
from ca.content.csr_review import check_csr
from ca.models.certificates import Certificate, CertificateTerm
from ca.signing.issuance import _check_signed
from ca.x509.csr import read_stored_csr
from pkiportal.management import database_roles, output
from tests.pkiportal.commands import run, run_json
from tests.world import Device, World, now, principal_of, run_worker

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "commands.md"
OURS: Final = {name for name, app in get_commands().items() if app == "pkiportal"}


def documented() -> set[str]:
    """Return the commands that have a heading in the document."""
    return set(re.findall(r"^## `([a-z_]+)", DOCUMENT.read_text(), re.MULTILINE))


def test_every_command_is_documented_and_every_documented_command_exists() -> None:
    assert documented() == OURS


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_documented_option_exists(name: str) -> None:
    chapter = re.split(rf"^## `{name}\b", DOCUMENT.read_text(), flags=re.MULTILINE)[1].split(
        "\n## "
    )[0]
    example = "\n".join(re.findall(r"^\./portal .*$", chapter, re.MULTILINE))
    parser: Any = load_command_class("pkiportal", name).create_parser("portal", name)
    known = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        for child in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            known |= {option for item in child._actions for option in item.option_strings}
    assert set(re.findall(r"--[a-z-]+", example)) - {"--data"} <= known


def test_only_the_owner_changes_the_log_and_the_web_only_revokes_certificates() -> None:
    statements = run_json("grants")["statements"]
    log = [
        text for text in statements if text.startswith("GRANT") and " ON audit_auditentry " in text
    ]
    assert sorted(log) == [
        "GRANT SELECT ON audit_auditentry TO pki_auditor",
        "GRANT SELECT, INSERT ON audit_auditentry TO pki_signer",
        "GRANT SELECT, INSERT ON audit_auditentry TO pki_web",
    ]
    (web,) = [text for text in statements if text.endswith(" ON ca_certificate TO pki_web")]
    assert web.startswith(
        "GRANT SELECT, UPDATE (status, revoked_at, revocation_reason, invalidity_date) ON"
    )
    assert not [text for text in statements if "TRUNCATE" in text]
    changing = [
        text
        for text in statements
        if text.endswith("TO pki_auditor") and re.search("INSERT|UPDATE|DELETE", text)
    ]
    assert changing == []
    assert run("grants").count(";\n") >= len(statements)


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor != "postgresql", reason="grants are PostgreSQL's")
@pytest.mark.parametrize("role", ["pki_web", "pki_signer", "pki_auditor"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditentry SET event = ''",
        "DELETE FROM audit_auditentry",
        "TRUNCATE audit_auditentry CASCADE",
    ],
)
def test_the_roles_of_the_grants_cannot_change_the_log(db: None, role: str, statement: str) -> None:
    with connection.cursor() as cursor:
        for grant in database_roles.statements():
            cursor.execute(grant)
        cursor.execute(f"SET ROLE {role}")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            cursor.execute(statement)
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            cursor.execute("UPDATE ca_certificate SET subject = ''")
        cursor.execute("RESET ROLE")


def test_every_table_has_rights_and_every_right_a_table() -> None:
    assert {
        table for table in database_roles.tables() if not database_roles.rights_of(table)
    } == set()
    assert set(database_roles.RIGHTS) <= set(database_roles.tables())
    with pytest.raises(LookupError, match="table other"):
        database_roles.rights_of("other")


def test_seeded_rows_are_real_and_marked(world: World) -> None:
    document = run_json("seed", "--requests", "3", "--certificates", "3")
    assert (document["requests"], document["certificates"], document["profile"]) == (3, 3, "seed")
    assert set(EnrollmentRequest.objects.values_list("client", flat=True)) == {
        "seeded for load tests"
    }
    pending = EnrollmentRequest.objects.filter(state="PENDING").order_by("id")
    assert list(pending) == list(pending.order_by("submitted_at"))
    for certificate in Certificate.objects.filter(kind="ordered").select_related("ca"):
        _check_signed(certificate, certificate.certificate_der)
        assert (
            search(
                Certificate.objects.all(), CertificateTerm, "certificate_id", certificate.serial_hex
            ).get()
            == certificate
        )
    request = pending[0]
    spec = resolve_version(request.profile_version_id)
    assert not check_csr(read_stored_csr(request.csr_der), spec).refused
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [request.pk]
    assert AuditEntry.objects.filter(event="data:seed").count() == 1
    run("seed", "--requests", "1")
    assert EnrollmentRequest.objects.count() == 7


def test_seed_does_not_mix_with_real_requests_unasked(world: World) -> None:
    Device.named("r1.example").enroll()
    with pytest.raises(CommandError, match="add --yes"):
        run("seed", "--requests", "1")
    run("seed", "--requests", "1", "--yes")
    assert EnrollmentRequest.objects.count() == 2
    with pytest.raises(CommandError, match="a number from 0"):
        run("seed", "--requests", "many")


def test_a_database_that_is_not_set_up_is_named_with_what_to_do(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("no such table")

    monkeypatch.setattr("pkiportal.management.commands.profiles.Command.run", fail)
    with pytest.raises(
        CommandError, match=r"Database error: no such table\. Run `\./portal doctor`"
    ):
        run("profiles", "list")
    monkeypatch.setattr(
        "django.db.migrations.executor.MigrationExecutor.migration_plan", lambda *_: ["one"]
    )
    with pytest.raises(CommandError, match=r"run `\./portal up` or `\./portal migrate` first"):
        run("profiles", "list")


def test_a_command_can_be_interrupted(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pkiportal.management.commands.profiles.Command.run", interrupt)
    with pytest.raises(SystemExit) as end:
        run("profiles", "list")
    assert end.value.code == 130


def test_what_strangers_wrote_is_shown_with_its_hidden_characters() -> None:
    assert output.shown(["a\x1b[2J", "b\u202e"]) == "a<U+001B>[2J, b<U+202E>"
    assert output.to_json("b\u202e") == '"b\\u202e"'
