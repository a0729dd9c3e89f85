"""The doctor on installations with faults: each is named, with its state and its remedy."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from approvals.models.operations import Lease, Pulse, SecretFingerprint
from approvals.models.requests import EnrollmentRequest
from approvals.operations import pulse
from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from ca.models.keys import ServiceKey
from ca.signing.crl import issue_due_crls
from keys import file as key_file
from pkiportal.doctor import diagnosis, disks
from pkiportal.environment import fingerprints
from pkiportal.environment.variables import SettingsError
from pkiportal.management import key_looks
from tests.pages import create_requests
from tests.pki import rsa_key
from tests.pkiportal.commands import run_json
from tests.world import World, now, without_triggers

KEYS = (key_looks.authority_keys, key_looks.ra_keys)


@dataclass
class Patient:
    """An installation in order, and the hands to spoil it."""

    world: World
    settings: Any
    patch: pytest.MonkeyPatch
    clock: Callable[[], datetime] = now

    @property
    def ca_key(self) -> Path:
        return Path(self.settings.CA_KEY_FOLDER) / "issuing.pem"

    @property
    def ra_key(self) -> Path:
        return (
            Path(self.settings.RA_KEY_FOLDER)
            / ServiceKey.objects.values_list("key_name", flat=True)[0]
        )

    def replace(self, path: Path, content: bytes) -> None:
        path.unlink()
        path.touch(mode=0o600)
        path.write_bytes(content)

    def findings(self) -> list[tuple[str, str, str]]:
        return [
            (item.name, item.state, item.text) for item in diagnosis.examine(self.clock, more=KEYS)
        ]


def secret(name: str, value: bytes | None) -> Any:
    """A secret of the settings with another value; None: it cannot be read."""

    class Secret(SimpleNamespace):
        def __call__(self) -> bytes:
            if value is None:
                raise SettingsError(f"{name} is not set")
            return value

    return Secret(name=name)


@pytest.fixture
def patient(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch, data_folder: Path, tmp_path: Path
) -> Iterator[Patient]:
    monkeypatch.setattr(diagnosis, "pending_migrations", list)
    monkeypatch.setattr("pkiportal.doctor.machine.broker_answers", lambda: True)
    monkeypatch.setattr(
        "pkiportal.doctor.database._pragmas", list
    )  # the tests do not wait for the disk
    monkeypatch.setattr(
        disks, "staticfiles_storage", ManifestStaticFilesStorage(location=str(tmp_path / "static"))
    )
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATIC_ROOT.mkdir()
    (settings.STATIC_ROOT / "portal.1.css").touch()
    (settings.STATIC_ROOT / "staticfiles.json").write_text(
        '{"paths": {"portal.css": "portal.1.css"}}'
    )
    for kind in ("web", "signing", "default"):
        Pulse.objects.create(name=pulse.process_name(kind), at=now())
    Lease.objects.create(name="sweep", held_until=now(), last_run_at=now())
    issue_due_crls(now=now())
    fingerprints.write_down(now=now())
    if connection.vendor == "sqlite":
        Path(connection.settings_dict["NAME"]).chmod(0o600)
    yield Patient(world, settings, monkeypatch)
    data_folder.chmod(0o700)
    if connection.vendor == "sqlite":
        Path(connection.settings_dict["NAME"]).chmod(0o600)


def test_an_installation_in_order_has_no_fault(patient: Patient) -> None:
    findings = patient.findings()
    assert [
        item for item in findings if item[1] == "fail"
    ] == []  # so that each fault below is the one that was caused
    assert any("it signs" in text for name, state, text in findings if name == "authority issuing")
    assert any("the last one began" in text for name, _, text in findings if name == "sweep")
    assert any("are free at" in text for name, _, text in findings if name == "disk")


def a_ca_key_is_missing(patient: Patient) -> None:
    patient.ca_key.rename(patient.ca_key.with_suffix(".away"))
    key_file.write(
        patient.ca_key.with_name("other.pem"), rsa_key("bob"), patient.settings.CA_PASSPHRASE()
    )


def all_ca_keys_are_missing(patient: Patient) -> None:
    patient.ca_key.unlink()


def a_ca_key_is_truncated(patient: Patient) -> None:
    patient.replace(patient.ca_key, patient.ca_key.read_bytes()[:200])


def a_ca_key_is_of_another_ca(patient: Patient) -> None:
    patient.ca_key.unlink()
    key_file.write(patient.ca_key, rsa_key("bob"), patient.settings.CA_PASSPHRASE())


def the_ca_passphrase_is_another(patient: Patient) -> None:
    patient.settings.CA_PASSPHRASE = secret("PORTAL_CA_PASSPHRASE", b"another one")


def the_ra_passphrase_is_another(patient: Patient) -> None:
    patient.settings.RA_PASSPHRASE = secret("PORTAL_RA_PASSPHRASE", b"another one")


def an_ra_key_is_truncated(patient: Patient) -> None:
    patient.replace(patient.ra_key, patient.ra_key.read_bytes()[:-300])


def an_ra_key_is_readable_by_others(patient: Patient) -> None:
    patient.ra_key.chmod(0o644)


def an_ra_key_is_another(patient: Patient) -> None:
    path = patient.ra_key
    path.unlink()
    key_file.write(path, rsa_key("bob"), patient.settings.RA_PASSPHRASE())


def an_ra_key_is_missing(patient: Patient) -> None:
    patient.ra_key.unlink()


def no_worker_lives(patient: Patient) -> None:
    Pulse.objects.update(at=now() - timedelta(minutes=3))


def the_sweep_is_old(patient: Patient) -> None:
    Lease.objects.filter(name="sweep").update(last_run_at=now() - timedelta(minutes=9))


def the_sweep_is_leased_ahead(patient: Patient) -> None:
    Lease.objects.filter(name="sweep").update(held_until=now() + timedelta(minutes=70))


def a_crl_is_due(patient: Patient) -> None:
    half = patient.settings.PORTAL_CRL_LIFE / 2 + timedelta(minutes=20)
    patient.clock = lambda: now() + half


def a_crl_was_never_made(patient: Patient) -> None:
    CertificateAuthority.objects.update(created_at=now() - timedelta(hours=1))
    patient.patch.setattr("pkiportal.doctor.life.latest_crl", lambda ca: None)


def a_static_file_is_missing(patient: Patient) -> None:
    (patient.settings.STATIC_ROOT / "portal.1.css").unlink()


def the_static_folder_is_gone(patient: Patient) -> None:
    patient.settings.STATIC_ROOT = patient.settings.STATIC_ROOT / "gone"


def a_disk_is_full(patient: Patient) -> None:
    full = os.statvfs_result((4096, 4096, 1_000_000, 100, 100, 1000, 10, 10, 0, 255))
    patient.patch.setattr("pkiportal.doctor.disks.os.statvfs", lambda _: full)


def a_disk_is_mounted_read_only(patient: Patient) -> None:
    status = os.statvfs_result(
        (4096, 4096, 9_000_000, 9_000_000, 9_000_000, 10, 10, 10, os.ST_RDONLY, 255)
    )
    patient.patch.setattr("pkiportal.doctor.disks.os.statvfs", lambda _: status)


def the_database_is_readable_by_all(patient: Patient) -> None:
    if connection.vendor == "sqlite":
        Path(connection.settings_dict["NAME"]).chmod(0o644)
    else:
        with connection.cursor() as cursor:
            cursor.execute("GRANT SELECT ON approvals_lease TO PUBLIC")


def others_may_enter_the_data_folder(patient: Patient) -> None:
    patient.settings.PORTAL_DATA.root.chmod(0o755)


def a_secret_is_missing(patient: Patient) -> None:
    patient.settings.CHALLENGE_KEY = secret("PORTAL_CHALLENGE_KEY", None)


def a_secret_is_another_one(patient: Patient) -> None:
    patient.settings.CHALLENGE_KEY = secret("PORTAL_CHALLENGE_KEY", b"of a fresh data folder")


def a_ca_key_is_readable_by_others(patient: Patient) -> None:
    patient.ca_key.chmod(0o640)


def the_broker_is_dead(patient: Patient) -> None:
    patient.patch.setattr("pkiportal.doctor.machine.broker_answers", lambda: False)


def there_is_no_tls(patient: Patient) -> None:
    patient.settings.PORTAL_IS_HTTPS = False


def migrations_are_missing(patient: Patient) -> None:
    patient.patch.setattr(diagnosis, "pending_migrations", lambda: ["ca.0099_more"])


def the_database_is_away(patient: Patient) -> None:
    def fail() -> list[str]:
        raise DatabaseError("connection refused")

    patient.patch.setattr(diagnosis, "pending_migrations", fail)


def the_clock_is_off(patient: Patient) -> None:
    patient.clock = lambda: now() - timedelta(minutes=11)


def the_authority_has_ended(patient: Patient) -> None:
    patient.clock = lambda: now() + timedelta(days=4000)


def a_queue_is_stuck(patient: Patient) -> None:
    Pulse.objects.create(name=pulse.queue_name("signing"), at=now() - timedelta(minutes=6))


def nothing_is_signed(patient: Patient) -> None:
    (request,) = create_requests(patient.world.profile, ["r1.example"])
    due = now() - timedelta(minutes=9)
    EnrollmentRequest.objects.filter(pk=request.pk).update(state="APPROVED", next_attempt_at=due)


def nobody_administers(patient: Patient) -> None:
    """As after the installation."""


def a_signature_failed(patient: Patient) -> None:
    (request,) = create_requests(patient.world.profile, ["r1.example"])
    again = now() + timedelta(seconds=40)
    EnrollmentRequest.objects.filter(pk=request.pk).update(
        state="APPROVED", next_attempt_at=again, last_fault="gone"
    )


FAULTS: list[tuple[Callable[[Patient], None], str, str, str]] = [
    (a_ca_key_is_missing, "authority issuing", "fail", "cannot be read: No such file"),
    (all_ca_keys_are_missing, "authority issuing", "fail", "cannot be read: No such file"),
    (a_ca_key_is_truncated, "authority issuing", "fail", "cannot sign"),
    (a_ca_key_is_of_another_ca, "authority issuing", "fail", "is the key of another certificate"),
    (the_ca_passphrase_is_another, "authority issuing", "fail", "wrong passphrase"),
    (the_ra_passphrase_is_another, "RA keys", "fail", "wrong passphrase"),
    (an_ra_key_is_truncated, "RA keys", "fail", "devices get no answer"),
    (an_ra_key_is_readable_by_others, "RA keys", "fail", "chmod 600"),
    (an_ra_key_is_another, "RA keys", "fail", "is not the key that was certified"),
    (an_ra_key_is_missing, "RA keys", "warn", "is missing: copy it"),
    (
        no_worker_lives,
        "processes",
        "fail",
        "signing gave no sign of life for 3 min: nothing is signed",
    ),
    (the_sweep_is_old, "sweep", "fail", "No sweep for 9 min"),
    (the_sweep_is_leased_ahead, "sweep", "fail", "sweep is leased"),
    (a_crl_is_due, "authority issuing", "fail", "a CRL is due and was not made"),
    (a_crl_was_never_made, "authority issuing", "fail", "a CRL is due and was not made"),
    (a_static_file_is_missing, "static files", "fail", "1 are missing"),
    (the_static_folder_is_gone, "static files", "fail", "missing or damaged"),
    (a_disk_is_full, "disk", "fail", "full disk: 0 MiB are free"),
    (a_disk_is_mounted_read_only, "disk", "fail", "mounted read-only"),
    (the_database_is_readable_by_all, "database", "fail", ""),
    (others_may_enter_the_data_folder, "folder", "fail", "chmod 700"),
    (a_secret_is_missing, "secret", "fail", "PORTAL_CHALLENGE_KEY is not set"),
    (a_secret_is_another_one, "secret", "fail", "PORTAL_CHALLENGE_KEY is another one than on"),
    (a_ca_key_is_readable_by_others, "authority keys", "fail", "chmod 600"),
    (the_broker_is_dead, "broker", "warn", "nothing is lost"),
    (there_is_no_tls, "https", "warn", "no TLS"),
    (migrations_are_missing, "migrations", "fail", "ca.0099_more"),
    (the_database_is_away, "database", "fail", "does not answer: connection refused"),
    (the_clock_is_off, "clock", "fail", "differs by 660"),
    (the_authority_has_ended, "authority issuing", "fail", "expired"),
    (a_queue_is_stuck, "queues", "fail", "No task of the queue signing was done for 6 min"),
    (nothing_is_signed, "signing", "fail", "Nothing signed for 9 min, 1 waiting."),
    (a_signature_failed, "attention", "warn", "1 request needs attention"),
    (nobody_administers, "people", "warn", "no administrator yet"),
]


@pytest.mark.parametrize(
    ("fault", "name", "state", "text"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS]
)
def test_each_fault_is_named(
    patient: Patient, fault: Callable[[Patient], None], name: str, state: str, text: str
) -> None:
    fault(patient)
    findings = patient.findings()
    assert [item for item in findings if item[:2] == (name, state) and text in item[2]], findings


def test_missing_triggers_are_named(patient: Patient) -> None:
    with without_triggers():
        assert [item for item in patient.findings() if item[:2] == ("checks", "fail")]


@pytest.mark.parametrize(
    "signer", ["signing@a", "signing@b.example", "signing@10.0.0.7", "signing@x-1", "signing@z"]
)
def test_where_another_machine_signs_no_key_is_missed(patient: Patient, signer: str) -> None:
    patient.ca_key.unlink()
    Pulse.objects.create(name=signer, at=now())
    findings = patient.findings()
    assert ("signing", "ok", f"no CA key lies here; the worker {signer} signs") in findings
    assert not [item for item in findings if item[:2] == ("authority issuing", "fail")]


@contextmanager
def no_change() -> Iterator[None]:
    """Nothing is written meanwhile."""
    tables = (Pulse, Lease, SecretFingerprint, AuditEntry)
    before = [list(table.objects.order_by("pk").values()) for table in tables]
    yield
    assert [list(table.objects.order_by("pk").values()) for table in tables] == before


def test_the_command_writes_nothing_and_could_not(
    patient: Patient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_change():
        call_command("doctor")
    assert "it signs" in capsys.readouterr().out
    if connection.vendor == "postgresql":
        return  # the session is read-only from its next transaction on; a test is in one already
    statements: list[str] = []

    def write(_: object) -> list[Any]:
        try:
            with transaction.atomic():
                Lease.objects.update(held_until=now())
        except DatabaseError as error:
            statements.append(str(error))
        return []

    monkeypatch.setattr(diagnosis, "DATABASE", (write,))
    with no_change():
        call_command("doctor", "--json")
    assert statements == ["attempt to write a readonly database"]
    Lease.objects.update(held_until=now())  # afterwards the connection writes as before


@pytest.mark.usefixtures("transactional_db")
def test_a_new_process_finds_no_fault_in_the_database_for_being_read_only_itself(
    patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    vars(connection.features).pop("supports_json_field", None)
    call_command("doctor", "--json")
    assert not [item for item in json.loads(capsys.readouterr().out) if item["state"] == "fail"]


def test_a_fault_is_status_1_and_warnings_are_none(patient: Patient) -> None:
    call_command("doctor")
    a_ca_key_is_truncated(patient)
    with pytest.raises(SystemExit) as end:
        call_command("doctor")
    assert end.value.code == 1


@pytest.mark.parametrize("name", [*fingerprints.names(), "PORTAL_SECRET_KEY"])
def test_a_secret_changed_on_purpose_is_accepted_on_record(patient: Patient, name: str) -> None:
    value = b"changed on every machine"
    attribute = name.removeprefix("PORTAL_")
    changed = value.decode() if attribute == "SECRET_KEY" else secret(name, value)
    setattr(patient.settings, attribute, changed)
    outcomes = {item["name"]: item["outcome"] for item in run_json("secrets", "list")}
    assert [key for key, outcome in outcomes.items() if outcome != "same"] == [name]
    outcomes = {item["name"]: item["outcome"] for item in run_json("secrets", "accept", name)}
    assert set(outcomes.values()) == {"same"}
    assert AuditEntry.objects.filter(event="secret:accept", subject_id=name).count() == 1


def test_a_fingerprint_shows_nothing_of_the_secret_and_is_written_once(patient: Patient) -> None:
    rows = {
        row.name: (bytes(row.salt), bytes(row.digest)) for row in SecretFingerprint.objects.all()
    }
    assert len({salt for salt, _ in rows.values()}) == len(rows) == 4
    a_secret_is_another_one(patient)
    fingerprints.write_down(now=now())  # a process that starts with another one changes nothing
    assert {
        row.name: (bytes(row.salt), bytes(row.digest)) for row in SecretFingerprint.objects.all()
    } == rows
    with mock.patch(
        "pkiportal.environment.fingerprints.compare", side_effect=DatabaseError("away")
    ):
        fingerprints.write_down(now=now())
