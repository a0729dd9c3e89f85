"""On their pages, auditors read everything and change nothing."""

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from django.test import Client
from django.urls import reverse

from accounts.models.people import Department
from accounts.roles import Role
from approvals.decisions.decide import approve_request, reject_request
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.refusals import refuse_message
from approvals.rules.states import State
from audit.events import Actor, Event, Subject
from audit.log import close_minutes, record
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from tests.pages import create_requests, signed_in
from tests.world import Device, World, create_person, now, principal_of, run_worker


@pytest.fixture
def bob(world: World) -> Client:
    return signed_in(create_person("bob", Role.AUDITOR))


def test_each_event_is_told_in_words() -> None:
    assert [event for event in Event if not event.label or event.label == event.value] == []


def issue(world: World, name: str = "r1.example", key: str = "alice") -> Certificate:
    """Let a device enroll, Alice approve, the worker sign, and the device pick up."""
    device = Device.named(name, key)
    device.enroll(dns_names=[name])
    request = EnrollmentRequest.objects.get(common_name=name)
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    device.poll()
    return Certificate.objects.get(order_id=request.pk)


def text(answer: Any) -> str:
    """Return the page of an answer that has one."""
    assert answer.status_code == 200
    page: str = answer.content.decode()
    return page


def test_requests_are_found_by_state_profile_period_and_the_beginning_of_a_word(
    world: World, bob: Client
) -> None:
    waiting, refused = create_requests(
        world.profile, ["r1.example", "x2.example"], address="192.0.2.99"
    )
    reject_request(
        request_id=refused.pk, principal=principal_of(world.alice), comment="no", now=now()
    )
    old = create_requests(world.profile, ["old.example"], submitted_at=now() - timedelta(days=3))[0]
    url = reverse("history_requests")
    for query, expected in (
        ({}, {waiting, refused, old}),
        ({"state": "REJECTED"}, {refused}),
        ({"state": "open"}, {waiting, old}),
        ({"profile": "routers", "period": "24h"}, {waiting, refused}),
        ({"q": "192.0.2.9"}, {waiting, refused}),
        ({"q": refused.transaction_id[:10]}, {refused}),
        ({"q": '"r1"'}, set()),
        ({"q": '"r1.example"'}, {waiting}),
        ({"attention": "true"}, set()),
    ):
        page = text(bob.get(url, query))
        shown = {row for row in (waiting, refused, old) if f"/requests/{row.pk}/" in page}
        assert shown == expected, query


def test_certificates_are_found_by_state_ca_profile_and_the_beginning_of_a_serial(
    world: World, bob: Client
) -> None:
    certificate = issue(world)
    url = reverse("history_certificates")
    own = reverse("certificate", args=[certificate.pk])
    assert certificate.der_sha256
    for query in (
        {},
        {"status": "ISSUED", "ca": "issuing", "profile": "routers", "period": "1h"},
        {"q": certificate.serial_hex[:8]},
        {"q": certificate.der_sha256},
        {"q": "r1.ex"},
    ):
        assert own in text(bob.get(url, query)), query
    for query in ({"status": "REVOKED"}, {"q": "r2"}, {"q": '"r1"'}):
        assert "No certificate fits" in text(bob.get(url, query)), query


@pytest.mark.parametrize(
    ("query", "of_requests", "of_certificates"),
    [({}, False, False), ({"profile": "routers"}, True, True), ({"ca": "issuing"}, False, True)],
)
def test_what_self_tests_asked_for_is_shown_where_it_is_chosen(
    world: World, bob: Client, query: dict[str, str], *, of_requests: bool, of_certificates: bool
) -> None:
    certificate = issue(world)
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(for_self_test=True, is_test=True)
    assert (
        f"/requests/{certificate.order_id}/" in text(bob.get(reverse("history_requests"), query))
    ) is of_requests
    own = reverse("certificate", args=[certificate.pk])
    assert (own in text(bob.get(reverse("history_certificates"), query))) is of_certificates


@pytest.mark.parametrize("page", ["history_requests", "history_certificates"])
@pytest.mark.parametrize("name", ["profile", "ca"])
@pytest.mark.parametrize("value", ["unknown", "\0", "é" * 5_000])
def test_a_choice_that_is_none_of_those_offered_finds_no_fault(
    world: World, bob: Client, page: str, name: str, value: str
) -> None:
    text(bob.get(reverse(page), {name: value}))


def test_a_certificate_page_tells_everything_from_the_first_message_to_the_pickup(
    world: World, bob: Client
) -> None:
    certificate = issue(world)
    page = text(bob.get(reverse("certificate", args=[certificate.pk])))
    sentences = re.findall(r'class="what">([^<]+)<', page)
    assert sentences == [
        "Request arrived",
        "Approved",
        "Prepared for signing",
        "Certificate signed and recorded",
        "Device picked the certificate up",
    ]
    assert "signed in" in page


def test_refused_messages_stand_in_the_timeline_of_the_request_they_were_about(
    world: World, bob: Client
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    record(
        Event.MESSAGE_REFUSE,
        actor=Actor(kind="device", address="198.51.100.7"),
        now=now(),
        subject=Subject.of("request", request.pk),
        data={"cause": "routers: renewal is not enabled"},
    )
    page = text(bob.get(reverse("request", args=[request.pk])))
    assert "Message refused" in page
    assert "198.51.100.7" in page
    assert "renewal is not enabled" in page


@pytest.mark.parametrize(
    ("form", "ending"), [("der", ".cer"), ("pem", ".pem"), ("chain", "-chain.pem")]
)
def test_a_download_is_the_certificate_and_is_recorded_with_its_reader(
    world: World, bob: Client, form: str, ending: str
) -> None:
    certificate = issue(world)
    answer = bob.get(
        reverse("certificate_download", kwargs={"certificate_id": certificate.pk, "form": form})
    )
    assert (
        answer["Content-Disposition"] == f'attachment; filename="{certificate.serial_hex}{ending}"'
    )
    if form == "der":
        assert answer.content == certificate.certificate_der
    else:
        certificates = x509.load_pem_x509_certificates(answer.content)
        assert len(certificates) == (2 if form == "chain" else 1)
        assert certificates[0] == x509.load_der_x509_certificate(certificate.certificate_der)
    entry = AuditEntry.objects.get(event=Event.CERTIFICATE_EXPORT)
    assert (entry.subject_id, entry.data["form"]) == (str(certificate.pk), form)
    assert "Certificate downloaded" in text(bob.get(reverse("certificate", args=[certificate.pk])))


def test_what_has_no_signature_yet_is_shown_and_not_downloaded(world: World, bob: Client) -> None:
    certificate = issue(world)
    prepared = Certificate(
        ca=certificate.ca,
        order_id=world.alice.pk,
        serial_hex="7f" * 17,
        subject="CN=r9.example",
        spki_sha256="0" * 64,
        not_before=now(),
        not_after=now() + timedelta(days=1),
        tbs=b"tbs",
        tbs_sha256="1" * 64,
        prepared_at=now(),
    )
    prepared.save(force_insert=True)
    assert "being signed" in text(bob.get(reverse("certificate", args=[prepared.pk])))
    url = reverse("certificate_download", kwargs={"certificate_id": prepared.pk, "form": "der"})
    assert bob.get(url).status_code == 404


def test_the_log_is_read_by_event_subject_and_period(world: World, bob: Client) -> None:
    certificate = issue(world)
    url = reverse("history_audit")
    assert "certificate:deliver" in text(bob.get(url))
    assert (
        "request:submit"
        not in text(bob.get(url, {"event": "certificate:issue"})).split("<tbody>")[1]
    )
    about = text(bob.get(url, {"subject": str(certificate.pk), "period": "24h"}))
    assert about.count("certificate:issue</code>") == 1
    assert "No entry fits" in text(bob.get(url, {"subject": "unknown"}))


def test_the_number_of_a_crl_is_not_that_of_a_refusal(world: World, bob: Client) -> None:
    record(Event.CRL_ISSUE, actor=Actor("system", "portal"), now=now(), data={"number": 1796044786})
    record(
        Event.MESSAGE_REFUSE,
        actor=Actor("system", "portal"),
        now=now(),
        data={"number": "4711-2093"},
    )
    page = text(bob.get(reverse("history_audit")))
    assert re.findall(r">Refusal ([^<]*)<", page) == ["4711-2093"]


def test_an_auditor_of_a_department_sees_what_belongs_to_it_only(world: World) -> None:
    here = Department.objects.create(slug="here", name="Here")
    certificate = issue(world)
    eve = signed_in(create_person("eve", Role.AUDITOR, department=here))
    assert "No certificate yet" in text(eve.get(reverse("history_certificates")))
    assert "No entry yet" in text(eve.get(reverse("history_audit")))
    assert eve.get(reverse("certificate", args=[certificate.pk])).status_code == 404
    EnrollmentProfile.objects.update(department=here)
    (request,) = create_requests(world.profile, ["r2.example"])
    world.profile.refresh_from_db()
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="no", now=now()
    )
    assert "request:reject" in text(eve.get(reverse("history_audit")))
    assert eve.get(reverse("certificate", args=[certificate.pk])).status_code == 200


def test_an_auditor_of_a_department_sees_whatever_happens_to_its_requests(
    world: World, bob: Client
) -> None:
    lab = Department.objects.create(slug="lab", name="Lab")
    EnrollmentProfile.objects.update(department=lab, required_approvals=2)
    device = Device.named("r2.example")
    device.enroll(dns_names=["r2.example"])
    request = EnrollmentRequest.objects.get()
    for officer in (world.alice, create_person("charlie", Role.OFFICER)):
        approve_request(
            request_id=request.pk, principal=principal_of(officer), comment="", now=now()
        )
    run_worker()
    for _ in range(2):
        device.poll()
    certificate = Certificate.objects.get(order_id=request.pk)
    bob.get(
        reverse("certificate_download", kwargs={"certificate_id": certificate.pk, "form": "pem"})
    )
    refuse_message(
        EnrollmentProfile.objects.get(), cause="bad signature", address="192.0.2.1", now=now()
    )
    close_minutes(now=now() + timedelta(minutes=4))
    dora = signed_in(create_person("dora", Role.AUDITOR, department=lab))
    page = text(dora.get(reverse("history_audit")))
    events = Counter(AuditEntry.objects.filter(department="lab").values_list("event", flat=True))
    expected = {
        "message:refuse": 1,
        "request:approve": 2,
        "certificate:deliver": 2,
        "certificate:export": 1,
    }
    assert {event: events[event] for event in expected} == expected
    assert all(event in page for event in expected)


def test_the_history_of_a_thousand_is_paged_in_both_directions(world: World, bob: Client) -> None:
    rows = create_requests(
        world.profile, [f"r{number:04d}.example" for number in range(120)], state=State.PENDING
    )
    url = reverse("history_requests")
    second = bob.get(url, {"after": str(rows[70].pk)})
    shown = re.findall(r"/requests/([0-9a-f-]{36})/", text(second))
    assert shown == [str(row.pk) for row in rows[20:70][::-1]]
    first = bob.get(url, {"before": shown[0]})
    assert re.findall(r"/requests/([0-9a-f-]{36})/", text(first)) == [
        str(row.pk) for row in rows[70:][::-1]
    ]


def test_the_certificate_of_an_authority_is_there_for_everybody(world: World) -> None:
    answer = Client().get(reverse("authority_certificate", args=[world.ca.name]))
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pkix-cert")
    assert answer.content == world.ca.certificate_der
    assert Client().get("/ca/unknown.cer").status_code == 404


def test_no_template_marks_anything_safe() -> None:
    for template in (Path(__file__).parents[2] / "templates").rglob("*.html"):
        assert not re.search(r"\|\s*safe\b|autoescape off|mark_safe", template.read_text()), (
            template
        )
