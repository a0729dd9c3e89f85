"""Validation services of profiles: set, stored encrypted, tested."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import urlsplit

from django.db import transaction

from accounts.principals import Principal
from approvals.models.profiles import EnrollmentProfile
from approvals.models.validations import ServiceKind, ValidationService
from approvals.records.transitions import department_of
from approvals.rules.errors import ProfileInvalid
from approvals.validation.intune import IntuneClient
from approvals.validation.messages import Outcome, Question, ServiceAnswer
from approvals.validation.webhook import WebhookClient, check_url
from approvals.validation.webhook_messages import MIN_SECRET
from audit.events import Event, Subject
from audit.log import record
from database.encryption import seal, unseal
from outbound.errors import NoAnswer
from outbound.url_rules import TargetRefused

_PURPOSE: Final = "validation services"
MAX_FAULT: Final = 300


@dataclass(frozen=True, slots=True)
class ServiceOrder:
    """The service to ask. `secret` None keeps the stored one; `reports` is always on for Intune."""

    kind: str
    url: str = ""
    tenant: str = ""
    client_id: str = ""
    secret: str | None = field(default=None, repr=False)
    reports: bool = False
    delivers_after_report: bool = False


class ServiceClient(Protocol):
    """The client of a service; each method raises NoAnswer."""

    def validate(self, question: Question, *, now: datetime) -> ServiceAnswer: ...

    def report(self, question: Question, outcome: Outcome, *, now: datetime) -> None: ...

    def probe(self, profile: str, *, now: datetime) -> str: ...


def keep_service(
    profile: EnrollmentProfile, order: ServiceOrder, *, principal: Principal, now: datetime
) -> ValidationService:
    """Store the service of a profile with its audit entry, in the caller's transaction.

    Raises ProfileInvalid.
    """
    current = ValidationService.objects.filter(pk=profile.pk).first()
    _check(order, has_secret=current is not None and current.kind == order.kind)
    is_intune = order.kind == ServiceKind.INTUNE
    values: dict[str, object] = {
        "kind": order.kind,
        "url": order.url,
        "tenant": order.tenant,
        "client_id": order.client_id,
        "reports": order.reports or order.delivers_after_report or is_intune,
        "delivers_after_report": order.delivers_after_report,
        "changed_at": now,
        "last_answer_at": None,
        "last_fault_at": None,
        "last_fault": "",
    }
    if order.secret is not None:
        values["sealed_secret"] = seal(_PURPOSE, profile.slug, order.secret.encode())
    service, _ = ValidationService.objects.update_or_create(profile=profile, defaults=values)
    profile.validation_service = service
    record(
        Event.VALIDATION_SERVICE_CHANGE,
        actor=principal.actor,
        now=now,
        subject=Subject.of("profile", profile.slug),
        data=service_facts(service) | {"secret_replaced": order.secret is not None},
        department=department_of(profile),
    )
    return service


def service_facts(service: ValidationService) -> dict[str, object]:
    """Return the facts of a service for the log: everything but the secret."""
    return {
        "kind": service.kind,
        "url": service.url,
        "tenant": service.tenant,
        "client_id": service.client_id,
        "reports": service.reports,
        "delivers_after_report": service.delivers_after_report,
    }


def service_of(profile: EnrollmentProfile) -> ValidationService | None:
    """Return the profile's service; None without one, or if it is of another kind."""
    service = ValidationService.objects.filter(pk=profile.pk).first()
    return service if service is not None and service.kind == profile.challenge else None


def host_of(service: ValidationService) -> str:
    """Return the host of a service, for people and the log."""
    if service.kind == ServiceKind.INTUNE:
        return f"Microsoft Intune, {service.tenant}"
    return urlsplit(service.url).netloc


def asked_by(profile: EnrollmentProfile) -> str:
    """Return the host of a profile's service, or "". The service should be loaded."""
    service = getattr(profile, "validation_service", None)
    return host_of(service) if service is not None and service.kind == profile.challenge else ""


def client_of(service: ValidationService, profile: EnrollmentProfile) -> ServiceClient:
    """Return the client of a service. Raises NoAnswer if its secret needs another challenge key."""
    sealed = unseal(_PURPOSE, profile.slug, bytes(service.sealed_secret))
    if sealed is None:
        raise NoAnswer(
            "the secret of the service does not open: PORTAL_CHALLENGE_KEY is not the one it was "
            "kept under"
        )
    secret = sealed.decode()
    if service.kind == ServiceKind.INTUNE:
        return IntuneClient(service.tenant, service.client_id, secret)
    return WebhookClient(service.url, secret)


def note_answer(service: ValidationService, *, now: datetime) -> None:
    """Remember for people that the service works."""
    ValidationService.objects.filter(pk=service.pk).update(
        last_answer_at=now, last_fault="", last_fault_at=None
    )


def note_fault(service: ValidationService, fault: str, *, now: datetime) -> None:
    """Remember the last fault for people."""
    ValidationService.objects.filter(pk=service.pk).update(
        last_fault_at=now, last_fault=fault[:MAX_FAULT]
    )


def order_probe(profile: EnrollmentProfile, *, now: datetime) -> bool:
    """Order a test by the worker (the web may not call outside); False without a service."""
    return ValidationService.objects.filter(pk=profile.pk).update(probe_due_at=now) == 1


def probe(service: ValidationService, *, principal: Principal, now: datetime) -> tuple[bool, str]:
    """Try a service without any request: sign and send, or sign in; returns whether it worked, and
    a sentence.
    """
    profile = service.profile
    try:
        works, text = True, client_of(service, profile).probe(profile.slug, now=now)
        note_answer(service, now=now)
    except NoAnswer as error:
        works, text = False, str(error)
        note_fault(service, text, now=now)
    with transaction.atomic():
        ValidationService.objects.filter(pk=service.pk).update(probe_due_at=None)
        record(
            Event.VALIDATION_SERVICE_PROBE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("profile", profile.slug),
            data={"service": host_of(service), "works": works, "text": text},
            department=department_of(profile),
        )
    return works, text


def _check(order: ServiceOrder, *, has_secret: bool) -> None:
    if order.secret is None and not has_secret:
        raise ProfileInvalid(
            "give its secret with {}", field="validation_service", others=("secret",)
        )
    if order.kind == ServiceKind.WEBHOOK:
        _check_webhook(order)
    elif order.url or not order.tenant or not order.client_id or order.secret == "":
        raise ProfileInvalid(
            "Intune: give the tenant, the client id of the application, and its secret"
        )


def _check_webhook(order: ServiceOrder) -> None:
    if order.tenant or order.client_id:
        raise ProfileInvalid("webhook: tenant and client id are Intune's")
    if order.secret is not None and (
        len(order.secret) < MIN_SECRET or not order.secret.isprintable()
    ):
        raise ProfileInvalid(
            f"webhook secret: at least {MIN_SECRET} printable characters, as from: openssl rand "
            "-hex 32"
        )
    try:
        check_url(order.url)
    except TargetRefused as error:
        raise ProfileInvalid(f"webhook address: {error}") from error
