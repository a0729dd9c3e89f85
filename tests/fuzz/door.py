"""The real SCEP door in this process: middleware and views over a scratch database, by WSGI."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.signals import got_request_exception
from django.db import connection, connections

from ca.x509.asn1 import Asn1Error, der_sequence
from scep import faults
from scep.operations import enrollment
from scep.protocol import constants as c
from scep.protocol.certificates import read_certificate
from scep.protocol.signed_data import read_signed_data, read_signer_info
from tests.fuzz.cases import Case
from tests.migrated import copy_migrated_database
from tests.scep import forge as f


class Fault(Exception):
    """The door answered 5xx, or an unexpected exception occurred."""


def prepare() -> tuple[f.Message, ...]:
    """Set Django up, with a database and a small world; returns messages of a certified device."""
    from pkiportal.environment.datafolder import ensure_data_folder

    mock.patch("keys.file._PBKDF2_ITERATIONS", 1000).start()
    enrollment.WAIT_SECONDS = 0
    folder = ensure_data_folder(settings.PORTAL_DATA.root)
    connection.settings_dict["NAME"] = str(folder.root / "fuzz.sqlite3")
    copy_migrated_database(folder.root / "fuzz.sqlite3")
    call_command("migrate", verbosity=0)
    messages = _furnish()
    connections.close_all()
    return messages


def _furnish() -> tuple[f.Message, ...]:
    from accounts.roles import Role
    from approvals.decisions.decide import approve_request
    from approvals.models.requests import EnrollmentRequest
    from approvals.rules.policy import RenewalPolicy
    from ca.content.csr_review import ProfileSpec
    from tests.world import (
        Device,
        create_ca,
        create_person,
        create_profile,
        now,
        principal_of,
        run_worker,
    )

    ca = create_ca()
    renewing = RenewalPolicy(
        mode="automatic", window=timedelta(0), key_reuse=True, changed_names="officer"
    )
    create_profile(ca, "routers", renewal=renewing)
    create_profile(ca, "phones", challenge="one-time")
    create_profile(ca, "strict", spec=ProfileSpec(san_patterns={"dns": (r"r\d+\.example",)}))
    with mock.patch("approvals.challenges.static.MIN_LENGTH", len(f.CHALLENGE)):
        for slug, approval in (("printers", "manual"), ("automatic", "automatic")):
            create_profile(
                ca,
                slug,
                challenge="static",
                static_challenge=f.CHALLENGE,
                approval=approval,
                renewal=renewing,
            )
    device = Device.named("r9.example", "device-1")
    device.enroll()
    (pk,) = EnrollmentRequest.objects.values_list("pk", flat=True)
    approve_request(
        request_id=pk,
        principal=principal_of(create_person("alice", Role.OFFICER)),
        comment="",
        now=now(),
    )
    run_worker()
    (issued,) = device.poll().certificates
    return _messages_of(device.key, issued, ca.certificate_der)


def _messages_of(key: Any, issued: bytes, ca_der: bytes) -> tuple[f.Message, ...]:
    read = read_certificate(issued)
    known = der_sequence(read.issuer_der, read.serial_der)
    of_ca = der_sequence(read_certificate(ca_der).subject_der, read.serial_der)
    renewal = f.Message(key=key, certificate=issued, message_type="17", transaction_id="renewal")
    asking = [
        replace(renewal, message_type=kind, envelope=f.Envelope(plaintext=inside))
        for kind, inside in (("21", known), ("22", of_ca), ("20", of_ca))
    ]
    return (renewal, replace(renewal, message_type="19"), *asking)


class Door:
    """Takes cases; each process works on a copy of the database that `prepare` made."""

    def __init__(self, process: int) -> None:
        database_file = Path(str(connection.settings_dict["NAME"]))
        mine = database_file.with_name(f"fuzz-{process}.sqlite3")
        shutil.copy(database_file, mine)
        connection.settings_dict["NAME"] = str(mine)
        self._application = WSGIHandler()
        self._escaped: list[str] = []
        got_request_exception.connect(self._note_escaped)

    def _note_escaped(self, sender: object, **_: object) -> None:
        self._escaped.append("an exception reached Django")

    def send(self, case: Case) -> str:
        """Return the answer: HTTP status, or pkiStatus and failInfo.

        Raises Fault for 5xx and unexpected exceptions.
        """
        faults.seen.clear()
        self._escaped.clear()
        statuses: list[int] = []

        def start_response(status: str, *_: object) -> Callable[[bytes], object]:
            statuses.append(int(status[:3]))
            return lambda _: None

        answer = self._application(_environ(case), start_response)
        body = b"".join(answer)
        answer.close()
        is_busy = statuses[0] == 503 and body.startswith(
            b"busy"
        )  # the queue of the scratch profile is full
        if (statuses[0] >= 500 and not is_busy) or faults.seen or self._escaped:
            raise Fault(f"HTTP {statuses[0]}, {[*faults.seen, *self._escaped]}")
        return _outcome(statuses[0], body)


def _outcome(status: int, body: bytes) -> str:
    if status != 200 or not body.startswith(b"\x30"):
        return f"HTTP {status}"
    signed = read_signed_data(body)
    if not signed.signer_infos:
        return "HTTP 200 certificates"
    try:
        signer = read_signer_info(signed.signer_infos[0])
    except Asn1Error as error:
        raise Fault(f"the portal's answer cannot be read: {error}") from error
    pki_status, fail_info = signer.single(c.ATTR_PKI_STATUS), signer.single(c.ATTR_FAIL_INFO)
    if pki_status is None:
        raise Fault("the portal's answer has no pkiStatus")
    name = c.PKIStatus(int(pki_status.value)).name
    return name if fail_info is None else f"{name} {c.FailInfo(int(fail_info.value)).spelled}"


def _environ(case: Case) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": case.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": f"/scep/{case.slug}/",
        "QUERY_STRING": case.query,
        "CONTENT_TYPE": "application/x-pki-message",
        "CONTENT_LENGTH": str(len(case.data)) if case.method == "POST" else "",
        "REMOTE_ADDR": "192.0.2.7",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(case.data),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    return environ | dict(case.environ)


def remove() -> None:
    """Take the data folder and the databases away."""
    shutil.rmtree(settings.PORTAL_DATA.root, ignore_errors=True)
