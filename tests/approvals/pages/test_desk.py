"""The desk: texts per verb, the digest of the page, votes, drafts over a sign-in, names."""

import json
import re
from html import escape, unescape
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.roles import Role
from accounts.sign_in.drafts import MAX_LENGTH, take_draft
from approvals.decisions.batch import decide_many
from approvals.decisions.decide import approve_request, reject_request
from approvals.decisions.review_digest import review_digest
from approvals.models.decisions import Decision, Verdict
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from approvals.records.notifications import _send
from approvals.rules.errors import AlreadyVoted
from approvals.rules.states import State
from ca.x509.text import NO_NAME, display_name
from tests.pages import create_requests, signed_in
from tests.world import Device, World, create_person, now, principal_of, run_worker

REASONS = (
    "Wrong site, use BRN",
    "Zařízení neznáme, 設備不明",
    "</textarea><script>alert(1)</script>",
    "first line\nsecond line",
    '{"page": "/queue/", "fields": {}}',
    "x" * 1000,
)


def pick(request: EnrollmentRequest) -> str:
    return f"{request.pk}:{review_digest(request)}"


def page_of(client: Client, request: EnrollmentRequest) -> str:
    return client.get(reverse("request", args=[request.pk])).content.decode()


def field(page: str, name: str) -> str:
    """The text in a field of a page, by its id."""
    area = re.search(rf'<textarea[^>]*id="{name}"[^>]*>([^<]*)</textarea>', page)
    line = re.search(rf'<input[^>]*id="{name}"[^>]*value="([^"]*)"', page)
    match = area or line
    assert match, name
    return unescape(match[1])


def hidden(page: str, name: str) -> str:
    match = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', page)
    assert match, name
    return unescape(match[1])


def sign_in_with(
    client: Client, page: str, *, password: str = "alice" * 2, draft: str | None = None
) -> Any:
    """Send the sign-in form of a page, with its hidden fields."""
    form = {"login": "alice", "password": password, "next": hidden(page, "next")}
    return client.post(
        reverse("account_login"),
        form | {"draft": hidden(page, "draft") if draft is None else draft},
    )


# Whose digest, whose words ------------------------------------------------------------------------
@pytest.mark.parametrize("verb", ["approve", "reject", "reopen"])
def test_what_was_seen_of_one_request_decides_on_no_other(world: World, verb: str) -> None:
    first, other = create_requests(world.profile, ["r1.example", "r2.example"])
    if verb == "reopen":
        reject_request(
            request_id=other.pk, principal=principal_of(world.alice), comment="no", now=now()
        )
    form = {"view_sha256": review_digest(first), "comment": "a word"}
    answer = signed_in(world.alice).post(
        reverse(f"request_{verb}", args=[other.pk]), form, follow=True
    )
    assert "The request changed after you opened it" in answer.content.decode()
    other.refresh_from_db()
    assert (other.state, other.round) == (State.REJECTED if verb == "reopen" else State.PENDING, 1)


@pytest.mark.parametrize("sent", ["", "0" * 64, "x" * 64, "A" * 65, None])
def test_a_decision_without_the_digest_of_what_was_seen_is_refused(
    world: World, sent: str | None
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    alice = signed_in(world.alice)
    form = {"comment": "a word"} | ({} if sent is None else {"view_sha256": sent})
    for verb in ("approve", "reject"):
        assert alice.post(reverse(f"request_{verb}", args=[request.pk]), form).status_code in {
            409,
            422,
        }
    rows = {"rows": [f"{request.pk}:{sent or ''}"], "verdict": "approve"}
    alice.post(reverse("queue_decide"), rows)
    assert not Decision.objects.exists()


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_of_a_rejection_never_becomes_the_comment_of_an_approval(
    world: World, reason: str
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    alice = signed_in(world.alice)
    for verdict in ("approve", "", "nonsense"):
        form = {"rows": [pick(request)], "verdict": verdict, "reason": reason, "back": "q=r1"}
        answer = alice.post(reverse("queue_decide"), form)
        assert answer["Location"] == reverse("queue") + "?q=r1"
        page = alice.get(answer["Location"]).content.decode()
        assert "Nothing was decided" in page
        assert field(page, "bulk-reason") == reason
        assert (
            f'value="{pick(request)}" aria-label="Tick CN=r1.example,O=Example" autocomplete="off" '
            "checked" in page
        )
    form = {"rows": [pick(request)], "verdict": "reject", "comment": reason}
    assert (
        "Write a reason" in alice.post(reverse("queue_decide"), form, follow=True).content.decode()
    )
    assert not Decision.objects.exists()


def test_a_row_that_changed_or_left_the_page_is_not_ticked_again(world: World) -> None:
    rows = create_requests(world.profile, [f"r{number}.example" for number in range(60)])
    first, last = rows[0], rows[-1]
    sent = {"rows": [pick(first), pick(last), f"{rows[-2].pk}:{'0' * 64}"], "verdict": ""}
    page = signed_in(world.alice).post(reverse("queue_decide"), sent, follow=True).content.decode()
    assert page.count(" checked>") == 1
    assert "except 2 requests that changed, or left this page: look at them first" in page


def test_the_button_names_its_request_and_every_field_of_a_verdict_is_of_one_form(
    world: World,
) -> None:
    for name in ("ap-0053.example", "<b>&", "x" * 200, "evil\u202eexe", "ap 7"):
        (request,) = create_requests(world.profile, [name])
        page = page_of(signed_in(world.alice), request)
        forms = re.findall(r"<form[^>]*data-decide>.*?</form>", page, re.DOTALL)
        assert [form.count("<textarea") for form in forms] == [1, 1]
        assert [len(re.findall(r'<button[^>]*type="submit"', form)) for form in forms] == [1, 1]
        assert "formaction" not in page
        shown = unescape(re.sub(r"<svg.*?</svg>|<kbd.*?</kbd>", "", forms[0], flags=re.DOTALL))
        assert f"Approve {'ap-0053.example' if name == 'ap-0053.example' else ''}" in shown
        assert "\u202e" not in shown


# Votes --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("needed", [2, 3, 4, 5, 6])
def test_each_vote_but_the_last_says_how_many_there_are(world: World, needed: int) -> None:
    EnrollmentProfile.objects.update(required_approvals=needed)
    (request,) = create_requests(world.profile, ["r1.example"])
    for number in range(1, needed + 1):
        officer = create_person(f"officer-{number}", Role.OFFICER)
        client = signed_in(officer)
        assert f"{number - 1} of {needed} approvals" in page_of(client, request)
        assert f">{number - 1}/{needed}</span>" in client.get(reverse("queue")).content.decode()
        form = {"view_sha256": review_digest(request), "comment": ""}
        page = client.post(
            reverse("request_approve", args=[request.pk]), form, follow=True
        ).content.decode()
        if number == needed:
            assert "Approved. The certificate is being signed." in page
            continue
        assert f"{number} of {needed} approvals. {needed - number} more " in page
        assert "being signed" not in page
        assert (
            f"{number} of {needed} approvals, one of them yours. It waits for another officer."
            in page
        )
        assert "data-approve" not in page
        assert "data-reject" not in page
        assert 'name="rows"' not in client.get(reverse("queue")).content.decode()
        assert client.post(reverse("request_approve", args=[request.pk]), form).status_code == 409
        assert Decision.objects.count() == number
    request.refresh_from_db()
    assert request.state == State.APPROVED


def test_a_vote_of_a_bulk_decision_and_of_a_command_says_so_too(world: World) -> None:
    EnrollmentProfile.objects.update(required_approvals=2)
    rows = create_requests(world.profile, ["r1.example", "r2.example"])
    dora = create_person("dora", Role.OFFICER)
    approve_request(request_id=rows[0].pk, principal=principal_of(dora), comment="", now=now())
    results = decide_many(
        items=[(row.pk, review_digest(row)) for row in rows],
        verdict=Verdict.APPROVE,
        principal=principal_of(world.alice),
        comment="",
        now=now(),
    )
    assert [result.text for result in results] == ["approved", "1 of 2 approvals"]
    with pytest.raises(AlreadyVoted):
        approve_request(
            request_id=rows[1].pk, principal=principal_of(world.alice), comment="", now=now()
        )


def test_a_vote_of_an_earlier_round_does_not_count(world: World) -> None:
    EnrollmentProfile.objects.update(required_approvals=2)
    (request,) = create_requests(world.profile, ["r1.example"])
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    dora = create_person("dora", Role.OFFICER)
    reject_request(request_id=request.pk, principal=principal_of(dora), comment="no", now=now())
    request.refresh_from_db()
    form = {"view_sha256": review_digest(request), "comment": "again"}
    page = (
        signed_in(dora)
        .post(reverse("request_reopen", args=[request.pk]), form, follow=True)
        .content.decode()
    )
    assert "0 of 2 approvals" in page
    assert "data-approve" in page_of(signed_in(world.alice), request)


def test_votes_of_others_appear_by_themselves(world: World) -> None:
    EnrollmentProfile.objects.update(required_approvals=2)
    (request,) = create_requests(world.profile, ["r1.example"])
    alice = signed_in(world.alice)
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    asked = {"top": str(request.pk), "shown": request.pk.hex}
    rows = alice.get(reverse("queue_changes"), asked).content.decode()
    assert ">1/2</span>" in rows
    assert f'<span id="pick-{request.pk.hex}" hx-swap-oob="innerHTML"></span>' in rows
    other = (
        signed_in(create_person("dora", Role.OFFICER))
        .get(reverse("queue_changes"), asked)
        .content.decode()
    )
    assert "pick-" not in other
    live = alice.get(
        reverse("request_live", args=[request.pk]), {"was": "PENDING"}
    ).content.decode()
    assert "1 of 2 approvals" in live


# The session ends while an officer decides --------------------------------------------------------
@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize(("verb", "place"), [("approve", "id_comment"), ("reject", "id_reason")])
def test_after_signing_in_again_the_words_are_in_their_field(
    world: World, verb: str, place: str, reason: str
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    client = Client()
    form = {"view_sha256": review_digest(request), "comment": reason}
    answer = client.post(reverse(f"request_{verb}", args=[request.pk]), form)
    assert answer.status_code == 403
    page = answer.content.decode()
    assert "<script>alert" not in page
    again = sign_in_with(client, page, password="wrong")
    assert again.status_code == 200
    answer = sign_in_with(client, again.content.decode())
    assert answer["Location"] == reverse("request", args=[request.pk])
    shown = page_of(client, request)
    assert field(shown, place) == reason
    assert "Nothing was decided. What you wrote is in its field." in shown
    assert not Decision.objects.exists()
    assert field(page_of(client, request), place) == ""


def test_after_signing_in_again_the_ticks_are_in_the_queue_with_its_filters(world: World) -> None:
    rows = create_requests(world.profile, ["r1.example", "r2.example", "s3.example"])
    client = Client()
    picks = [pick(rows[0]), pick(rows[1])]
    form = {
        "rows": picks,
        "verdict": "reject",
        "reason": "unknown",
        "comment": "",
        "back": "q=r&order=oldest",
    }
    page = client.post(reverse("queue_decide"), form).content.decode()
    answer = sign_in_with(client, page)
    assert answer["Location"] == reverse("queue") + "?q=r&order=oldest"
    shown = client.get(answer["Location"]).content.decode()
    assert shown.count(" checked>") == 2
    assert field(shown, "bulk-reason") == "unknown"
    assert not Decision.objects.exists()


def test_the_words_stand_in_no_address_log_or_store_before_the_sign_in(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    client = Client()
    form = {"view_sha256": review_digest(request), "comment": "a-secret-reason"}
    page = client.post(reverse("request_reject", args=[request.pk]), form)
    assert not Session.objects.exists()
    assert "portal_session" not in client.cookies
    assert page["Cache-Control"] == "no-store"
    answer = sign_in_with(client, page.content.decode())
    assert "a-secret-reason" not in answer["Location"]
    assert "a-secret-reason" not in caplog.text
    assert "a-secret-reason" not in str(answer.headers) + str(client.cookies)


def test_the_largest_draft_passes_the_bound_of_a_body(world: World) -> None:
    rows = create_requests(world.profile, [f"r{number}.example" for number in range(200)])
    client = Client()
    words = {"comment": "\U0001d11e" * 1000, "reason": "\u8a2d" * 1000}
    page = client.post(
        reverse("queue_decide"), words | {"rows": [pick(row) for row in rows], "verdict": "approve"}
    )
    assert page.status_code == 403
    assert sign_in_with(client, page.content.decode())["Location"] == reverse("queue")
    shown = client.get(reverse("queue")).content.decode()
    assert shown.count(" checked>") == 50
    assert field(shown, "bulk-reason") == words["reason"]


BROKEN_DRAFTS = (
    "",
    "nonsense",
    "[]",
    "[" * 50_000,
    '{"page": 7, "fields": {}}',
    '{"page": "/queue/"}',
    '{"page": "/queue/", "fields": {"rows": [1], "comment": {"a": 1}, "reason": null}}',
    json.dumps({"page": "/queue/", "fields": {"comment": "x" * MAX_LENGTH}}),
)


@pytest.mark.parametrize("draft", BROKEN_DRAFTS)
def test_a_draft_that_no_page_wrote_is_left_alone(world: World, draft: str) -> None:
    client = Client()
    form = {"login": "alice", "password": "alicealice", "draft": draft, "next": reverse("queue")}
    assert client.post(reverse("account_login"), form).status_code == 302
    create_requests(world.profile, ["r1.example"])
    page = client.get(reverse("queue")).content.decode()
    assert " checked>" not in page
    assert field(page, "bulk-comment") == ""


@pytest.mark.parametrize(
    "address", ["https://evil.example/", "//evil.example/requests/", "javascript:alert(1)"]
)
def test_a_draft_leads_to_no_other_site(world: World, address: str) -> None:
    client = Client()
    draft = json.dumps({"page": address, "fields": {"words": "x"}})
    form = {"login": "alice", "password": "alicealice", "draft": draft, "next": address}
    assert client.post(reverse("account_login"), form)["Location"] == "/"


def test_a_page_that_refreshes_itself_leads_back_to_itself_after_the_sign_in(world: World) -> None:
    places = {
        "http://testserver/requests/7/?a=b": "?next=%2Frequests%2F7%2F%3Fa%3Db",
        "http://testserver/queue/": "?next=%2Fqueue%2F",
        "https://evil.example/queue/": "",
        "http://testserver.evil.example/queue/": "",
        "nonsense": "",
    }
    for current, query in places.items():
        headers = {"HX-Request": "true", "HX-Current-URL": current}
        answer = Client().get(reverse("queue_changes"), headers=headers)
        assert answer["HX-Redirect"] == reverse("account_login") + query


# Names --------------------------------------------------------------------------------------------
NAMELESS: tuple[tuple[str, str, list[str], str], ...] = (
    ("", "", ["dns:ap-7.example", "ip:192.0.2.1"], "ap-7.example"),
    (
        "",
        "",
        ["uri:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    ),
    ("   ", " ", ["email:jana@example.org"], "jana@example.org"),
    ("\u3000", "", ["dns: ", "ip:2001:db8::7"], "2001:db8::7"),
    ("", "", [], NO_NAME),
    ("", "\t", ["dns:"], NO_NAME),
    ("", "O=Example", ["dns:ap-8.example"], "O=Example"),
    ("ap-9", "CN=ap-9", [], "ap-9"),
)


@pytest.mark.parametrize(("common_name", "subject", "names", "shown"), NAMELESS)
def test_a_request_without_a_subject_has_a_name_on_every_page(
    world: World,
    common_name: str,
    subject: str,
    names: list[str],
    shown: str,
    mailoutbox: list[Any],
) -> None:
    fields: dict[str, Any] = {"common_name": common_name, "subject": subject, "names": names}
    (request,) = create_requests(world.profile, ["template"], **fields)
    alice = signed_in(world.alice)
    page = page_of(alice, request)
    assert f"<h1>{shown}</h1>" in page
    assert f"<title>{shown} · PKI portal</title>" in page
    assert f"Approve {shown[:20]}" in unescape(page)
    for name in ("queue", "history_requests"):
        assert re.search(
            rf"<a [^>]*data-open[^>]*>{re.escape(shown)}</a>",
            alice.get(reverse(name)).content.decode(),
        )
    assert f"<h1>{shown}</h1>" in alice.get(reverse("walk", args=[request.pk])).content.decode()
    _send("alice@example.org", [OutboxMessage(kind="request-pending", request=request)])
    full = shown if common_name != "ap-9" else "CN=ap-9"
    assert f"Waits for a decision: {full}\n" in mailoutbox[0].body
    form = {"rows": [pick(request)], "verdict": "approve"}
    results = alice.post(reverse("queue_decide"), form, follow=True).content.decode()
    assert re.search(
        rf'<a href="{reverse("request", args=[request.pk])}">{re.escape(full)}</a>', results
    )


@given(st.lists(st.text(max_size=20), max_size=3), st.lists(st.text(max_size=20), max_size=3))
def test_a_name_is_never_blank(texts: list[str], names: list[str]) -> None:
    shown = display_name(*texts, names=names)
    assert shown.strip()
    assert shown in {*texts, *(name.partition(":")[2] for name in names), NO_NAME}


def test_a_certificate_without_a_subject_has_a_name_on_every_page(world: World) -> None:
    device = Device.named("ap-7.example")
    names = x509.SubjectAlternativeName([x509.DNSName("ap-7.example")])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=True)
    )
    device.scep.enroll(
        csr.sign(device.key, hashes.SHA256()).public_bytes(Encoding.DER), device.identity
    )
    request = EnrollmentRequest.objects.get()
    assert request.subject == ""
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    request.refresh_from_db()
    alice = signed_in(world.alice)
    for name, arguments in (
        ("certificate", [request.certificate_id]),
        ("certificate_revoke", [request.certificate_id]),
        ("request", [request.pk]),
    ):
        page = alice.get(reverse(name, args=arguments)).content.decode()
        assert re.search(r"<h1>(Revoke )?ap-7\.example</h1>", page), name
    listed = alice.get(reverse("history_certificates")).content.decode()
    assert re.search(r"<a [^>]*data-open[^>]*>ap-7\.example</a>", listed)


@pytest.mark.parametrize(
    ("site", "is_shown"), [("same-origin", True), ("cross-site", False), ("", False)]
)
@pytest.mark.parametrize("reason", REASONS)
def test_a_form_that_expired_by_a_sign_in_elsewhere_shows_what_was_written(
    world: World, reason: str, site: str, *, is_shown: bool
) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    form = {
        "view_sha256": review_digest(request),
        "comment": reason,
        "csrfmiddlewaretoken": "x" * 64,
    }
    address = reverse("request_reject", args=[request.pk])
    answer = client.post(address, form, headers={"Sec-Fetch-Site": site})
    page = answer.content.decode()
    assert answer.status_code == 403
    assert (f">{escape(reason)}</textarea>" in page) is is_shown
    assert f'href="{reverse("request", args=[request.pk])}"' in page
    assert not Decision.objects.exists()


def test_a_draft_of_another_page_waits_for_its_own(world: World, rf: Any) -> None:
    request = rf.get("/queue/")
    request.session = {"draft": {"page": "/requests/7/", "fields": {"words": "x"}}}
    assert take_draft(request) is None
    request = rf.get("/requests/7/")
    request.session = {
        "draft": {"page": "/requests/7/?a=b", "fields": {"words": "x", "rows": ["y"]}}
    }
    draft = take_draft(request)
    assert draft is not None
    assert (draft.text("words"), draft.values("rows")) == ("x", ["y"])
    assert (draft.text("rows"), draft.values("words")) == ("", [])
    assert request.session == {}
