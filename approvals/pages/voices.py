"""The person behind a page's request, as the use cases take them."""

from django.http import HttpRequest

from accounts.doors import person
from accounts.network.addresses import client_address
from approvals.models.decisions import Evidence
from approvals.records.decision_documents import Voice


def voice_of(request: HttpRequest) -> Voice:
    """Return the signed-in officer with the address they decide from."""
    return Voice(
        evidence=Evidence.SESSION, officer=person(request), address=client_address(request)
    )
