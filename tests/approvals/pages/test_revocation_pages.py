"""The page on which an officer revokes, and its traces on other pages."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.roles import Role
from approvals.decisions.decide import approve_request
from approvals.models.requests import EnrollmentRequest
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.signing.crl import issue_due_crls
from tests.pages import signed_in
from tests.world import Device, World, create_person, later, now, principal_of, run_worker


@pytest.fixture
def certificate(world: World) -> Certificate:
    Device.named("r1.example").enroll(dns_names=["r1.example"])
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    return Certificate.objects.get(order_id=request.pk)


@pytest.fixture
def alice(world: World) -> Client:
    return signed_in(world.alice)


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status
    page: str = answer.content.decode()
    return page


def test_an_officer_revokes_in_two_steps_and_everybody_sees_it(
    alice: Client, certificate: Certificate
) -> None:
    own = reverse("certificate", args=[certificate.pk])
    url = reverse("certificate_revoke", args=[certificate.pk])
    assert url in text(alice.get(own))
    page = text(alice.get(url))
    assert '<option value="" selected>choose one</option>' in page
    assert "cACompromise" not in page
    answer = alice.post(url, {"reason": "keyCompromise", "comment": "stolen in Brno"}, follow=True)
    page = text(answer)
    assert "Revoked: the CRL with this certificate is being made." in page
    assert "key compromise: others may know the private key" in page
    assert "stolen in Brno" in page
    assert url not in page
    bob = signed_in(create_person("bob", Role.AUDITOR))
    assert own in text(bob.get(reverse("history_certificates"), {"status": "REVOKED"}))
    assert own not in text(bob.get(reverse("history_certificates"), {"status": "ISSUED"}))
    assert "Revoked" in text(bob.get(reverse("history_audit"), {"event": "certificate:revoke"}))
    order = EnrollmentRequest.objects.get()
    assert 'class="state revoked"' in text(bob.get(reverse("request", args=[order.pk])))


@pytest.mark.parametrize(
    "data", [{}, {"reason": ""}, {"reason": "cACompromise"}, {"reason": "superseded" * 2}]
)
def test_without_a_reason_nothing_happens(
    alice: Client, certificate: Certificate, data: dict[str, str]
) -> None:
    page = text(
        alice.post(reverse("certificate_revoke", args=[certificate.pk]), {"comment": "x", **data}),
        422,
    )
    assert 'class="errors"' in page
    certificate.refresh_from_db()
    assert certificate.status == "ISSUED"


def test_who_comes_second_reads_that_it_is_done(alice: Client, certificate: Certificate) -> None:
    url = reverse("certificate_revoke", args=[certificate.pk])
    assert alice.post(url, {"reason": "superseded"}).status_code == 302
    page = text(alice.post(url, {"reason": "keyCompromise"}), 409)
    assert "Revoked already" in page
    assert 'class="state revoked"' in page


def test_what_expired_meanwhile_is_not_revoked(alice: Client, certificate: Certificate) -> None:
    Certificate.objects.filter(pk=certificate.pk).update(not_after=now())
    assert "expired" in text(
        alice.post(reverse("certificate_revoke", args=[certificate.pk]), {"reason": "superseded"}),
        422,
    )
    own = text(alice.get(reverse("certificate", args=[certificate.pk])))
    assert reverse("certificate_revoke", args=[certificate.pk]) not in own


def test_hold_and_release(alice: Client, certificate: Certificate) -> None:
    release = reverse("certificate_release", args=[certificate.pk])
    revoke = reverse("certificate_revoke", args=[certificate.pk])
    page = text(alice.post(release, follow=True))
    assert "not on hold" in page
    page = text(alice.post(revoke, {"reason": "certificateHold"}, follow=True))
    assert "On hold: the CRL" in page
    assert release in page
    page = text(alice.post(release, {"comment": "found again"}, follow=True))
    assert "Released" in page
    assert "found again" in page
    assert release not in page
    text(alice.post(revoke, {"reason": "certificateHold"}, follow=True))
    assert "Released" in text(alice.post(release, {"comment": "x" * 2000}, follow=True))


def test_auditors_see_no_way_to_revoke(world: World, certificate: Certificate) -> None:
    bob = signed_in(create_person("bob", Role.AUDITOR))
    page = text(bob.get(reverse("certificate", args=[certificate.pk])))
    assert reverse("certificate_revoke", args=[certificate.pk]) not in page


def test_the_page_of_authorities_tells_which_crl_there_is(
    alice: Client, certificate: Certificate
) -> None:
    url = reverse("authorities")
    page = text(alice.get(url))
    assert "none yet" in page
    assert "a new one is due" in page
    (issue,) = issue_due_crls(now=now())
    page = text(alice.get(url))
    assert str(issue.number) in page
    assert reverse("authority_crl", args=["issuing"]) in page
    assert "a new one is due" not in page
    CertificateAuthority.objects.update(revocation_version=9)
    assert "a new one is due" in text(alice.get(url))
    assert later() > issue.this_update
