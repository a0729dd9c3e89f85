"""`./portal certificates`: list, show and export certificates; revoke, put on hold, release."""

import base64
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.core.management.base import CommandError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals.decisions.revocations import (
    Revocation,
    release_hold,
    revoke_certificate,
    revoke_compromised,
    successors_of,
)
from approvals.reading.queue import certificates_without_self_tests
from audit.events import Event, Subject
from audit.log import record
from ca.certificates.store import chain_of
from ca.models.certificates import Certificate, CertificateKind, CertificateStatus, RevocationReason
from pkiportal.management.arguments import (
    USAGE,
    authority_named,
    command_principal,
    officer_principal,
)
from pkiportal.management.output import facts, iso, table
from pkiportal.management.portal_command import PortalCommand

_LISTED: Final = (
    *("id", "serial_hex", "subject", "status", "ca__name", "profile_version__profile__slug"),
    *("not_before", "not_after", "der_sha256", "order_id", "kind"),
)


_REASONS: Final = ", ".join(RevocationReason.values)


class Command(PortalCommand):
    """An export is recorded in the log; revocations are recorded as asserted, not authenticated."""

    help = "List, show, export, revoke and release issued certificates."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the actions and the certificate."""
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="list|show|export|revoke|release"
        )
        listing = actions.add_parser("list", help="every certificate of a device, oldest first")
        listing.add_argument("--ca", metavar="NAME")
        listing.add_argument(
            "--status", choices=[value.lower() for value in CertificateStatus.values]
        )
        listing.add_argument(
            "--kind", choices=CertificateKind.values, default=CertificateKind.ORDERED.value
        )
        showing = actions.add_parser("show", help="everything about one certificate")
        exporting = actions.add_parser(
            "export", help="write a certificate as PEM, DER or with its chain"
        )
        revoking = actions.add_parser(
            "revoke", help="revoke, or put on hold, on behalf of an officer"
        )
        releasing = actions.add_parser("release", help="release from hold on behalf of an officer")
        for action in (showing, exporting, revoking, releasing):
            action.add_argument(
                "id", metavar="ID|SERIAL", help="identifier, that of its request, or serial number"
            )
        exporting.add_argument("--format", choices=["pem", "der", "chain"], default="pem")
        exporting.add_argument("--out", metavar="F", help="a new file; without it standard output")
        _add_reason(revoking)
        for action in (revoking, releasing):
            action.add_argument("--officer", required=True, metavar="NAME")
            action.add_argument("--comment", default="", metavar="TEXT")
        for action in (listing, showing, exporting, revoking, releasing):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        match options["action"]:
            case "list":
                self._list(options)
            case "show":
                document = _document(_find(options["id"]))
                self.say(options, document, facts(list(document.items())))
            case "export":
                self._export(options)
            case _:
                self._change(options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = Certificate.objects.filter(kind=options["kind"]).order_by("id")
        if options["ca"]:
            rows = rows.filter(ca=authority_named(options["ca"]))
        else:
            rows = certificates_without_self_tests(rows)
        if options["status"]:
            rows = rows.filter(status=options["status"].upper())
        documents = [_listed(row) for row in rows.values_list(*_LISTED).iterator(chunk_size=5000)]
        self.say(options, documents, lambda: _as_table(documents))

    def _change(self, options: dict[str, Any]) -> None:
        principal, release = officer_principal(options["officer"]), options["action"] == "release"
        common = {
            "certificate_id": _find(options["id"]).pk,
            "principal": principal,
            "comment": options["comment"],
        }
        done = (
            Revocation(release_hold(**common, now=timezone.now()))
            if release
            else _revoke(common, options)
        )
        certificate = done.certificate
        document: dict[str, Any] = {
            "id": str(certificate.pk),
            "serial": certificate.serial_hex,
            "status": certificate.status.lower(),
            "revoked_at": iso(certificate.revoked_at),
            "reason": certificate.revocation_reason or None,
        }
        if options.get("reason") == RevocationReason.KEY_COMPROMISE:
            document["successors_revoked"] = [item.serial_hex for item in done.successors]
            document["successors_valid"] = [item.serial_hex for item in done.left]
        lines = [
            f"{item.serial_hex}: {CertificateStatus(item.status).label}"
            for item in (certificate, *done.successors)
        ]
        lines += [
            f"{item.serial_hex}: still valid, though it follows from the compromised key"
            for item in done.left
        ]
        self.say(options, document, "\n".join(lines))

    def _export(self, options: dict[str, Any]) -> None:
        certificate = _find(options["id"])
        if certificate.der is None:
            raise CommandError(
                f"certificate {certificate.serial_hex}: {certificate.get_status_display()}, not "
                "signed"
            )
        content = _encoded(certificate, options["format"])
        is_text = options["format"] != "der"
        if not (is_text or options["out"] or options["json"]) and sys.stdout.isatty():
            raise CommandError("DER is not for a terminal: give --out F", returncode=USAGE)
        if options["out"]:
            _write(Path(options["out"]), content)
        _record_export(certificate, options["format"])
        document = {
            "id": str(certificate.pk),
            "serial": certificate.serial_hex,
            "format": options["format"],
            "out": options["out"],
            "content": None
            if options["out"]
            else content.decode()
            if is_text
            else base64.b64encode(content).decode(),
        }
        if options["json"] or options["out"]:
            self.say(options, document, f"Wrote {options['out']}")
        elif is_text:
            self.stdout.write(content.decode(), ending="")
        else:
            sys.stdout.buffer.write(content)


def _add_reason(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--reason", required=True, choices=RevocationReason.values, metavar="REASON", help=_REASONS
    )
    parser.add_argument(
        "--with-successors",
        action="store_true",
        help="with keyCompromise: revoke what was renewed from it, or has the same key, as well",
    )


def _revoke(common: dict[str, Any], options: dict[str, Any]) -> Revocation:
    """Revoke; for keyCompromise list the dependent certificates, and revoke them on request."""
    reason, now = options["reason"], timezone.now()
    is_compromise = reason == RevocationReason.KEY_COMPROMISE
    if options["with_successors"]:
        if not is_compromise:
            raise CommandError(
                "--with-successors goes with --reason keyCompromise only", returncode=USAGE
            )
        return revoke_compromised(**common, now=now)
    certificate = revoke_certificate(**common, reason=reason, now=now)
    return Revocation(
        certificate, left=tuple(successors_of(certificate, now=now)) if is_compromise else ()
    )


def _as_table(documents: Sequence[dict[str, Any]]) -> str:
    lines = [
        [item["serial"], item["status"], item["ca"], item["subject"], item["not_after"]]
        for item in documents
    ]
    return (
        table(["serial", "status", "CA", "subject", "until"], lines)
        if lines
        else "No such certificate."
    )


def _listed(row: tuple[Any, ...]) -> dict[str, Any]:
    (
        certificate_id,
        serial,
        subject,
        status,
        authority,
        profile,
        not_before,
        not_after,
        digest,
        order,
        kind,
    ) = row
    return {
        "id": str(certificate_id),
        "serial": serial,
        "subject": subject,
        "status": status.lower(),
        "ca": authority,
        "profile": profile,
        "not_before": iso(not_before),
        "not_after": iso(not_after),
        "sha256": digest,
        "request": str(order) if kind == CertificateKind.ORDERED else None,
    }


def _document(certificate: Certificate) -> dict[str, Any]:
    version = certificate.profile_version
    row = (
        *(
            certificate.pk,
            certificate.serial_hex,
            certificate.subject,
            certificate.status,
            certificate.ca.name,
        ),
        *(version.profile.slug if version else None, certificate.not_before, certificate.not_after),
        *(certificate.der_sha256, certificate.order_id, certificate.kind),
    )
    return _listed(row) | {
        "names": list(certificate.names),
        "kind": str(certificate.kind),
        "profile_version": version.number if version else None,
        "public_key_sha256": certificate.spki_sha256,
        "tbs_sha256": certificate.tbs_sha256,
        "prepared_at": iso(certificate.prepared_at),
        "issued_at": iso(certificate.issued_at),
        "revoked_at": iso(certificate.revoked_at),
        "revocation_reason": certificate.revocation_reason or None,
        "invalidity_date": iso(certificate.invalidity_date),
    }


def _find(text: str) -> Certificate:
    """Find by identifier, by the request's identifier, or by serial number in any spelling."""
    try:
        condition = Q(pk=UUID(text)) | Q(order_id=UUID(text))
    except ValueError:
        plain = text.lower().removeprefix("0x").replace(":", "").replace(" ", "").lstrip("0")
        condition = Q(serial_hex=plain)
    related = ("ca__parent__parent", "profile_version__profile")
    matches = list(
        Certificate.objects.select_related(*related).filter(condition).order_by("-id")[:5]
    )
    if not matches:
        raise CommandError(
            f"certificate {text!r}: not known by identifier, request or serial number"
        )
    if len(matches) > 1:
        which = ", ".join(
            f"{item.pk} ({item.ca.name}, {item.get_status_display()})" for item in matches
        )
        raise CommandError(
            f"certificate {text!r}: there are several, name one by its identifier: {which}"
        )
    return matches[0]


def _encoded(certificate: Certificate, form: str) -> bytes:
    if form == "der":
        return certificate.certificate_der
    ders = chain_of(certificate) if form == "chain" else [certificate.certificate_der]
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}") from error


def _record_export(certificate: Certificate, form: str) -> None:
    with transaction.atomic():
        record(
            Event.CERTIFICATE_EXPORT,
            actor=command_principal().actor,
            now=timezone.now(),
            subject=Subject.of("certificate", certificate.pk),
            data={"format": form},
        )
