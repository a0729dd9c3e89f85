"""CA rollover with open keys: stage the next CA, publish it, cancel.

Signing worker and commands only. The answer to GetNextCACert is signed here with the current CA's
key (RFC 8894 §4.7.1) and stored; the web delivers stored bytes. The switch needs no key:
`approvals.profiles.rollovers`.
"""

from datetime import datetime
from hashlib import sha256

import structlog
from django.db import IntegrityError, transaction

from accounts.principals import PORTAL, Principal
from audit.events import Event, Subject
from audit.log import record
from ca.authorities.ra_certificates import offered_certificates
from ca.models.authorities import (
    AuthorityRollover,
    CertificateAuthority,
    CertificatesShape,
    NextCaAnswer,
)
from ca.models.lineage import next_answer, shaped
from ca.signing.authorities import AuthorityRequest, create_authority, open_key, parse_subject
from ca.x509.cms import encode_next_certificates
from ca.x509.errors import CaError, RolloverRefused
from keys.errors import KeyStoreError

_log = structlog.get_logger(__name__)


def stage_rollover(
    ca: CertificateAuthority, order: AuthorityRequest, *, principal: Principal, now: datetime
) -> AuthorityRollover:
    """Create the CA that will follow `ca`, and record that; devices notice nothing yet.

    Raises RolloverRefused, and the errors of `create_authority`.
    """
    open_rollovers = (
        AuthorityRollover.objects.filter(ca=ca, cancelled_at__isnull=True)
        .select_related("next_ca")
        .first()
    )
    if open_rollovers is not None:
        raise RolloverRefused(
            f"CA {ca.name}: its rollover to {open_rollovers.next_ca.name} is "
            f"{open_rollovers.stage}; one at a time"
        )
    if order.is_test != ca.is_test:
        raise RolloverRefused(
            f"CA {ca.name}: a test CA is followed by a test CA, and no other by one"
        )
    subject = str(parse_subject(order.subject))
    if CertificateAuthority.objects.filter(subject=subject).exists():
        raise RolloverRefused(
            f"subject {subject}: a CA has it already, and devices tell CAs by their names: take "
            "another"
        )
    following = create_authority(order, principal=principal, now=now)
    try:
        with transaction.atomic():
            rollover = AuthorityRollover.objects.create(ca=ca, next_ca=following, staged_at=now)
            _record(Event.ROLLOVER_STAGE, rollover, principal=principal, now=now)
    except IntegrityError:
        raise RolloverRefused(
            f"CA {ca.name}: another rollover was staged at the same time; {following.name} is "
            "unused"
        ) from None
    return rollover


def publish_rollover(
    rollover: AuthorityRollover,
    *,
    needed: frozenset[CertificatesShape],
    principal: Principal,
    now: datetime,
) -> None:
    """Sign and publish the GetNextCACert answers; the next CA then issues for its own RA.

    `needed` are the shapes of the CA's profiles. Raises RolloverRefused if the next CA is not ready
    for them, or the rollover is not staged; AuthorityUnusable if the current CA cannot sign.
    """
    answers = list(_new_answers(rollover, now=now))
    for shape in sorted(needed - {CertificatesShape(answer.shape) for answer in answers}):
        raise RolloverRefused(
            f"CA {rollover.next_ca.name}: its RA certificate for {shape} is not there yet; the web "
            "makes the key "
            "and the signing worker certifies it, within a minute when both run"
        )
    with transaction.atomic():
        _step(rollover, "staged", published_at=now)
        _store(answers, principal=principal, now=now)
        _record(Event.ROLLOVER_PUBLISH, rollover, principal=principal, now=now)


def cancel_rollover(rollover: AuthorityRollover, *, principal: Principal, now: datetime) -> None:
    """Give up a rollover before its switch. Raises RolloverRefused after it.

    A published next CA may have waiting requests: it is paused, so that it issues nothing until an
    administrator resumes it.
    """
    before = rollover.stage
    with transaction.atomic():
        _step(rollover, "staged", "published", cancelled_at=now)
        _record(Event.ROLLOVER_CANCEL, rollover, principal=principal, now=now)
        paused = CertificateAuthority.objects.filter(pk=rollover.next_ca_id, paused_at__isnull=True)
        if before == "published" and paused.update(paused_at=now):
            record(
                Event.AUTHORITY_PAUSE,
                actor=principal.actor,
                now=now,
                subject=Subject.of("authority", rollover.next_ca.name),
                data={"because": "its rollover was cancelled"},
            )


def refresh_answers(*, now: datetime) -> int:
    """Sign GetNextCACert answers again after the next CA's RA certificate was renewed.

    Returns how many.
    """
    signed = 0
    published = AuthorityRollover.objects.filter(
        published_at__isnull=False, switched_at__isnull=True, cancelled_at__isnull=True
    )
    for rollover in published.select_related("ca", "next_ca__parent__parent"):
        try:
            answers = list(_new_answers(rollover, now=now))
        except (CaError, KeyStoreError) as error:
            _log.warning("rollover.not_refreshed", ca=rollover.ca.name, fault=str(error))
            continue
        if answers:
            with transaction.atomic():
                _store(answers, principal=PORTAL, now=now)
            signed += len(answers)
    return signed


def _new_answers(rollover: AuthorityRollover, *, now: datetime) -> list[NextCaAnswer]:
    """Sign missing answers, outside any transaction: one per shape the next CA is ready for."""
    answers = []
    for shape in CertificatesShape:
        ra_certificates = offered_certificates(rollover.next_ca, shape, now=now)
        if ra_certificates is None:
            continue
        certificates = shaped(ra_certificates, rollover.next_ca, shape)
        digest = sha256(b"".join(certificates)).hexdigest()
        newest = next_answer(rollover, shape)
        if newest is not None and newest.content_sha256 == digest:
            continue
        key = open_key(rollover.ca, now=now)
        der = encode_next_certificates(
            certificates,
            signer_der=rollover.ca.certificate_der,
            algorithm=key.signature_algorithm,
            sign=key.sign,
        )
        answers.append(
            NextCaAnswer(
                rollover=rollover,
                shape=shape,
                content_sha256=digest,
                der=der,
                sha256=sha256(der).hexdigest(),
                created_at=now,
            )
        )
    return answers


def _store(answers: list[NextCaAnswer], *, principal: Principal, now: datetime) -> None:
    for answer in answers:
        answer.save(force_insert=True)
        record(
            Event.ROLLOVER_ANSWER,
            actor=principal.actor,
            now=now,
            subject=Subject.of("authority", answer.rollover.ca.name),
            data={
                "next": answer.rollover.next_ca.name,
                "shape": str(answer.shape),
                "sha256": answer.sha256,
            },
        )


def _step(rollover: AuthorityRollover, *stages: str, **changes: datetime) -> None:
    """Take a step from one of `stages`, under the lock of the row. Raises RolloverRefused."""
    locked = AuthorityRollover.objects.select_for_update(of=("self",)).get(pk=rollover.pk)
    if locked.stage not in stages:
        raise RolloverRefused(
            f"rollover {rollover}: it is {locked.stage}, this step needs it {' or '.join(stages)}"
        )
    AuthorityRollover.objects.filter(pk=rollover.pk).update(**changes)
    rollover.refresh_from_db()


def _record(
    event: Event, rollover: AuthorityRollover, *, principal: Principal, now: datetime
) -> None:
    following = rollover.next_ca
    record(
        event,
        actor=principal.actor,
        now=now,
        subject=Subject.of("authority", rollover.ca.name),
        data={"next": following.name, "next_certificate_sha256": following.certificate_sha256},
    )
