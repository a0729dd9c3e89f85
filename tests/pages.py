"""Requests by the thousand and signed-in browsers, for the tests of pages."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.test import Client

from accounts.models.people import User
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, RequestTerm
from approvals.rules.states import State
from ca.certificates.search_terms import normalized_terms
from database.ids import uuid7
from scep.client import Identity, build_csr
from tests.pki import rsa_key
from tests.world import now


def signed_in(user: User) -> Client:
    """Return a browser of this person."""
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def create_requests(
    profile: EnrollmentProfile,
    common_names: Iterable[str],
    *,
    state: State = State.PENDING,
    **fields: Any,
) -> list[EnrollmentRequest]:
    """Insert one request per name, as from devices, with one CSR and different key digests."""
    key = rsa_key("alice")
    csr = build_csr(key, "template")
    signer = Identity.self_signed(key, "template", now=now()).certificate_der
    version = profile.certificate_profile.current
    assert version is not None
    moment = now()
    rows = [
        EnrollmentRequest(
            **_defaults(name, moment) | {"state": state} | fields,
            profile=profile,
            ca=profile.ca,
            profile_version=version,
            csr=csr,
            signer_certificate=signer,
        )
        for name in common_names
    ]
    created = EnrollmentRequest.objects.bulk_create(rows, batch_size=500)
    RequestTerm.objects.bulk_create(
        [
            RequestTerm(request=row, term=term)
            for row in created
            for term in normalized_terms(
                [row.common_name, row.csr_spki_sha256, row.transaction_id, row.address]
            )
        ],
        batch_size=2000,
    )
    return created


def _defaults(name: str, moment: datetime) -> dict[str, Any]:
    digest = sha256(name.encode()).hexdigest()
    return {
        "id": uuid7(),
        "csr_sha256": digest,
        "csr_spki_sha256": digest,
        "signer_spki_sha256": digest,
        "content_sha256": digest,
        "subject": f"CN={name},O=Example",
        "common_name": name,
        "names": [f"dns:{name}"],
        "key_description": "RSA 2048",
        "findings": [],
        "transaction_id": digest[:32],
        "address": "192.0.2.7",
        "client": "sscep/0.10",
        "challenge": "none",
        "submitted_at": moment,
        "expires_at": moment + timedelta(days=30),
    }
