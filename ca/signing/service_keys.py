"""Certifies the portal's own keys: their users make key and CSR, the signing worker signs.

A service certificate goes through prepare, sign and record like any other; after a death in between
the next run resumes.
"""

from datetime import datetime

import structlog
from django.db import transaction

from audit.events import SYSTEM, Event, Subject
from audit.log import record
from ca.content.issuers import IssuerUnusable
from ca.models.certificates import Certificate
from ca.models.keys import ServiceKey
from ca.signing.issuance import (
    prepare_service_certificate,
    record_issued,
    sign_prepared,
    store_prepared,
)
from ca.x509.csr import decode_csr
from ca.x509.errors import CaError

_log = structlog.get_logger(__name__)


def certify_service_keys(*, now: datetime) -> int:
    """Certify every service key without a certificate; returns how many.

    A CA that cannot sign is logged; one that has ended is skipped.
    """
    certified = 0
    waiting = ServiceKey.objects.filter(certificate__isnull=True, ca__not_after__gte=now)
    for service in waiting.select_related("ca__parent"):
        try:
            _certify(service, now=now)
        except (CaError, IssuerUnusable) as error:
            _log.warning(
                "service_key.not_certified",
                service=str(service.pk),
                ca=service.ca.name,
                fault=str(error),
            )
            continue
        certified += 1
    return certified


def _certify(service: ServiceKey, *, now: datetime) -> None:
    with transaction.atomic():
        locked = ServiceKey.objects.select_for_update(of=("self",)).get(pk=service.pk)
        if locked.certificate_id is not None:
            return
        certificate = Certificate.objects.filter(order_id=service.pk).select_related("ca").first()
        if certificate is None:
            certificate = prepare_service_certificate(
                service, decode_csr(bytes(service.csr)), now=now
            )
            store_prepared(certificate, now=now)
    der = sign_prepared(certificate, now=now)
    with transaction.atomic():
        record_issued(certificate, der, now=now)
        waiting = ServiceKey.objects.filter(pk=service.pk, certificate__isnull=True)
        if not waiting.update(certificate=certificate):
            return  # another worker was faster with the same bytes
        record(
            Event.SERVICE_KEY_CERTIFY,
            actor=SYSTEM,
            now=now,
            subject=Subject.of("service-key", service.pk),
            data={
                "ca": service.ca.name,
                "purpose": service.purpose,
                "serial": certificate.serial_hex,
            },
        )
