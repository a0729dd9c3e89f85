"""Options and output of the services that check challenges for profiles."""

from argparse import ArgumentParser, BooleanOptionalAction
from typing import Any

from approvals.models.validations import ServiceKind, ValidationService
from approvals.validation.services import ServiceOrder, host_of
from pkiportal.management.arguments import secret_from
from pkiportal.management.output import iso


def add_service_options(parser: ArgumentParser) -> None:
    """Add the target of a webhook, or a tenant of Intune with its application."""
    parser.add_argument(
        "--url", default="", metavar="URL", help="webhook: https address that is asked"
    )
    parser.add_argument(
        "--tenant", default="", metavar="NAME", help="Intune: tenant, as contoso.onmicrosoft.com"
    )
    parser.add_argument(
        "--client-id", default="", metavar="ID", help="Intune: application (client) id in Entra"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="tell the webhook what became of each request (Intune is always told)",
    )
    parser.add_argument(
        "--deliver-after-report",
        action=BooleanOptionalAction,
        help="give the certificate out only once the service was told (Intune: yes, webhook: no)",
    )


def service_order(options: dict[str, Any], kind: str) -> ServiceOrder:
    """Return the service to ask; Intune must be told before the device gets its certificate."""
    source, waits = options["secret_file"], options["deliver_after_report"]
    return ServiceOrder(
        kind=kind,
        url=options["url"],
        tenant=options["tenant"],
        client_id=options["client_id"],
        secret=secret_from(source) if source is not None else None,
        reports=options["report"],
        delivers_after_report=kind == ServiceKind.INTUNE if waits is None else waits,
    )


def service_document(service: ValidationService) -> dict[str, Any]:
    """Return a service for scripts, never with its secret."""
    return {
        "profile": service.profile.slug,
        "kind": service.kind,
        "url": service.url,
        "tenant": service.tenant,
        "client_id": service.client_id,
        "host": host_of(service),
        "reports": service.reports,
        "deliver_after_report": service.delivers_after_report,
        "in_use": service.kind == service.profile.challenge,
        "last_answer_at": iso(service.last_answer_at),
        "last_fault_at": iso(service.last_fault_at),
        "last_fault": service.last_fault,
    }
