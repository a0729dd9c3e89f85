"""The officers' pages. L13 to L16 are ways in which the approval loop of other systems breaks."""

import hashlib
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.principals import asserted_principal
from accounts.roles import Role
from approvals.decisions.decide import approve_request, reject_request, reopen_request
from approvals.decisions.review_digest import review_digest
from approvals.models.requests import EnrollmentRequest
from approvals.reading.queue import count, duration, paginate, signing_health
from approvals.rules.states import State
from audit.models import AuditEntry
from tests.pages import create_requests, signed_in
from tests.world import (
    Device,
    World,
    create_person,
    now,
    principal_of,
    run_worker,
    without_triggers,
)

BIDI = "r1\u202eexe.example<script>alert(1)</script>"


def text_of(client: Client, name: str, *arguments: object, **query: str) -> str:
    answer = client.get(reverse(name, args=arguments), query)
    assert answer.status_code == 200
    return answer.content.decode()


def links_of(page: str) -> list[str]:
    """The names that a page of the queue lists."""
    return re.findall(r'data-open title="CN=([^,"]+)', page)


def walk(client: Client, path: str) -> Iterator[str]:
    """Follow the links to the next page until there is none; yields pages."""
    address: str | None = path
    while address is not None:
        page = client.get(address).content.decode()
        yield page
        match = re.search(r'rel="next" href="([^"]+)"', page)
        address = path.split("?", maxsplit=1)[0] + unescape(match[1]) if match else None


def test_l13_a_comment_is_shown_with_the_request_the_certificate_and_in_the_log(
    world: World,
) -> None:
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    comment = "Compared with Jana by telephone"
    asserted = asserted_principal("root", world.alice)
    approve_request(request_id=request.pk, principal=asserted, comment=comment, now=now())
    run_worker()
    request.refresh_from_db()
    bob = signed_in(create_person("bob", Role.AUDITOR))
    for page in (
        text_of(bob, "request", request.pk),
        text_of(bob, "certificate", request.certificate_id),
        text_of(bob, "history_audit", subject=str(request.pk)),
    ):
        assert comment in page
        assert "asserted, not authenticated" in page


def test_l13_the_comment_of_a_reopening_is_shown_too(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="Wrong site", now=now()
    )
    reopen_request(
        request_id=request.pk,
        principal=principal_of(world.alice),
        comment="The site was right",
        now=now(),
    )
    assert "The site was right" in text_of(signed_in(world.alice), "request", request.pk)


def test_l14_who_is_signed_in_without_being_an_officer_decides_nothing(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    form = {"view_sha256": review_digest(request), "comment": "no"}
    bob, charlie = create_person("bob", Role.AUDITOR), create_person("charlie", Role.ADMINISTRATOR)
    for user in (bob, charlie, create_person("nora")):
        for name in ("request_approve", "request_reject", "request_reopen", "request_retry"):
            assert signed_in(user).post(reverse(name, args=[request.pk]), form).status_code == 403
        rows = {"rows": [f"{request.pk}:{form['view_sha256']}"], "verdict": "approve"}
        assert signed_in(user).post(reverse("queue_decide"), rows).status_code == 403
    request.refresh_from_db()
    assert request.state == State.PENDING
    assert "Approve" not in text_of(signed_in(bob), "request", request.pk)


def test_l15_every_one_of_thousands_of_waiting_requests_is_reached_by_following_the_pages(
    world: World,
) -> None:
    names = [f"r{number:05d}.example" for number in range(2_500)]
    create_requests(world.profile, names)
    alice = signed_in(world.alice)
    shown = [name for page in walk(alice, reverse("queue")) for name in links_of(page)]
    assert shown == names[::-1]
    oldest_first = walk(alice, reverse("queue") + "?order=oldest")
    assert links_of(next(oldest_first)) + links_of(next(oldest_first)) == names[:100]
    assert "1,000+" in text_of(alice, "queue")
    assert links_of(text_of(alice, "queue", q='"r00017.example"')) == ["r00017.example"]
    begins = [name for page in walk(alice, reverse("queue") + "?q=r012") for name in links_of(page)]
    assert begins == [name for name in names[::-1] if name.startswith("r012")]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert links_of(text_of(alice, "queue", q="r0"))[0] == "r02499.example"
    assert not [query for query in queries if re.search(r"COUNT\(\*\)(?!.*LIMIT)", query["sql"])]


def test_l16_what_waits_is_in_one_queue_whatever_the_profile_and_filters_are_views_of_it(
    world: World,
) -> None:
    waiting, approved, failed = create_requests(
        world.profile, ["r1.example", "r2.example", "r3.example"]
    )
    EnrollmentRequest.objects.filter(pk=approved.pk).update(
        state=State.APPROVED, last_fault="the key is not readable"
    )
    EnrollmentRequest.objects.filter(pk=failed.pk).update(state=State.APPROVED)
    EnrollmentRequest.objects.filter(pk=failed.pk).update(state=State.FAILED)
    alice = signed_in(world.alice)
    assert links_of(text_of(alice, "queue")) == [waiting.common_name]
    assert links_of(text_of(alice, "queue", attention="true")) == [
        failed.common_name,
        approved.common_name,
    ]
    assert len(links_of(text_of(alice, "queue", state="open"))) == 3
    assert links_of(text_of(alice, "queue", state="FAILED")) == [failed.common_name]
    assert links_of(text_of(alice, "queue", profile="routers", period="1h")) == [
        waiting.common_name
    ]
    assert links_of(
        text_of(alice, "queue", state="nonsense", period="nonsense", after="nonsense")
    ) == ["r1.example"]


def test_filters_survive_a_reload_and_paging(world: World) -> None:
    create_requests(world.profile, [f"r{number}.example" for number in range(60)])
    page = text_of(signed_in(world.alice), "queue", q="r", order="oldest")
    assert 'value="r"' in page
    assert '<option value="oldest" selected>' in page
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following
    assert {"q=r", "order=oldest"} <= set(unescape(following[1]).strip("?").split("&"))


def test_pages_lead_back_to_where_one_came_from(world: World) -> None:
    rows = create_requests(world.profile, [f"r{number}.example" for number in range(7)])
    keys = [row.pk for row in rows]
    everything = EnrollmentRequest.objects.all()
    second = paginate(everything, {"after": str(keys[4])}, size=3)
    assert [row.pk for row in second.rows] == [keys[3], keys[2], keys[1]]
    back = paginate(everything, {"before": second.previous}, size=3)
    assert [row.pk for row in back.rows] == [keys[6], keys[5], keys[4]]
    assert back.previous is None
    assert back.next == str(keys[4])
    oldest = paginate(everything, {"after": str(keys[5])}, newest_first=False, size=3)
    assert ([row.pk for row in oldest.rows], oldest.next) == ([keys[6]], None)
    assert paginate(everything, {"before": str(keys[6])}, size=3).rows == []


def test_fingerprints_are_found_with_and_without_colons(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"], address="2001:db8::17")
    digest = request.csr_spki_sha256.upper()
    alice = signed_in(world.alice)
    grouped = ":".join(digest[start : start + 2] for start in range(0, 20, 2))
    for query in (grouped, digest[:12], "2001:db8:", "R1.EXAMPLE"):
        assert links_of(text_of(alice, "queue", q=query)) == ["r1.example"], query
    assert "No request fits" in text_of(alice, "queue", q="r2")


def test_hostile_names_are_shown_escaped_and_with_hidden_characters_written_out(
    world: World,
) -> None:
    (request,) = create_requests(
        world.profile, [BIDI], client="<img src=x>", transaction_id="t\u200b<b>1</b>"
    )
    alice = signed_in(world.alice)
    pages = [
        text_of(alice, "queue"),
        text_of(alice, "request", request.pk),
        text_of(alice, "history_requests"),
    ]
    for page in pages:
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert "\u200b" not in page
        assert "&lt;U+202E&gt;" in page
    assert "<img src=x>" not in pages[1]


def test_nothing_on_a_page_is_inline_style_or_script(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    alice = signed_in(world.alice)
    for page in (
        text_of(alice, "queue"),
        text_of(alice, "request", request.pk),
        text_of(alice, "profiles"),
    ):
        assert not re.search(r"<style|\sstyle=|<script(?! src)|\son[a-z]+=|hx-on|javascript:", page)


def test_the_queue_answers_304_until_something_changes(world: World) -> None:
    first, second = create_requests(world.profile, ["r1.example", "r2.example"])
    alice = signed_in(world.alice)
    asked = {"top": str(second.pk), "shown": f"{first.pk.hex},{second.pk.hex}"}
    url = reverse("queue_changes")
    answer = alice.get(url, asked)
    assert answer.status_code == 200
    assert alice.get(url, asked, headers={"If-None-Match": answer["ETag"]}).status_code == 304
    approve_request(request_id=first.pk, principal=principal_of(world.alice), comment="", now=now())
    changed = alice.get(url, asked, headers={"If-None-Match": answer["ETag"]})
    assert changed.status_code == 200
    assert f'id="state-{first.pk.hex}"' in changed.content.decode()
    create_requests(world.profile, ["r3.example"])
    assert "1 new: show" in alice.get(url, asked).content.decode()
    assert alice.get(url, {"top": "nonsense"}).status_code == 404


def test_a_request_page_answers_304_until_its_state_moves(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    alice = signed_in(world.alice)
    url = reverse("request_live", args=[request.pk])
    answer = alice.get(url, {"was": "PENDING"})
    assert b'id="decision"' not in answer.content
    assert (
        alice.get(url, {"was": "PENDING"}, headers={"If-None-Match": answer["ETag"]}).status_code
        == 304
    )
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    moved = alice.get(url, {"was": "PENDING"}, headers={"If-None-Match": answer["ETag"]})
    assert b'id="decision"' in moved.content
    assert b"every 1s" in moved.content


def test_a_page_that_refreshes_itself_is_led_to_the_sign_in_when_the_session_is_over(
    world: World,
) -> None:
    answer = Client().get(reverse("queue_changes"), headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Redirect"]) == (401, reverse("account_login"))


def test_many_rows_are_decided_at_once_with_a_result_for_each(world: World) -> None:
    rows = create_requests(world.profile, ["r1.example", "r2.example", "r3.example"])
    picks = [f"{row.pk}:{review_digest(row)}" for row in rows]
    reject_request(
        request_id=rows[1].pk, principal=principal_of(world.alice), comment="Wrong", now=now()
    )
    alice = signed_in(world.alice)
    form = {"rows": picks, "verdict": "approve", "comment": "roll-out", "back": "q=r&order=oldest"}
    answer = alice.post(reverse("queue_decide"), form)
    assert answer["Location"] == reverse("queue") + "?q=r&order=oldest"
    page = alice.get(answer["Location"]).content.decode()
    assert page.count('<span class="chip good">approved</span>') == 2
    assert page.count('<span class="chip bad">not done</span>') == 1
    assert "Nothing was done twice" in page
    assert "Results" not in alice.get(answer["Location"]).content.decode()


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"verdict": "approve"}, "Tick the requests first."),
        (
            {"verdict": "reject", "rows": ["00000000-0000-7000-8000-000000000000:x"]},
            "Write a reason",
        ),
        ({"verdict": "approve", "rows": ["nonsense"]}, "do not come from the queue"),
        ({"verdict": "approve", "rows": ["x"] * 201}, "at most 200"),
    ],
)
def test_a_bulk_decision_that_cannot_be_is_answered_with_a_sentence(
    world: World, form: dict[str, object], sentence: str
) -> None:
    answer = signed_in(world.alice).post(reverse("queue_decide"), form, follow=True)
    assert sentence in answer.content.decode()


def test_a_rejection_without_a_reason_keeps_the_form(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    answer = signed_in(world.alice).post(
        reverse("request_reject", args=[request.pk]),
        {"view_sha256": review_digest(request), "comment": " "},
    )
    assert answer.status_code == 422
    assert "Write a reason" in answer.content.decode()


def test_a_request_that_changed_after_it_was_opened_is_not_decided_on(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    digest = review_digest(request)
    with without_triggers():
        EnrollmentRequest.objects.filter(pk=request.pk).update(address="198.51.100.1")
    form = {"view_sha256": digest, "comment": "typed already"}
    answer = signed_in(world.alice).post(reverse("request_approve", args=[request.pk]), form)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "The request changed after you opened it" in page
    assert "typed already" in page
    assert not request.decisions.exists()


def test_of_two_officers_one_decides_and_the_other_reads_who_was_faster(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    form = {"view_sha256": review_digest(request), "comment": ""}
    url = reverse("request_approve", args=[request.pk])
    assert signed_in(world.alice).post(url, form).status_code == 302
    answer = signed_in(create_person("dora", Role.OFFICER)).post(url, form)
    assert answer.status_code == 409
    assert "Already approved by Alice" in answer.content.decode()
    assert request.decisions.count() == 1


def test_what_needs_attention_shows_its_cause_and_is_retried_with_one_click(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    EnrollmentRequest.objects.filter(pk=request.pk).update(
        state=State.APPROVED,
        last_fault="CA issuing: the key is not readable",
        attempts=8,
        quarantined_at=now(),
    )
    alice = signed_in(world.alice)
    page = text_of(alice, "request", request.pk)
    assert "CA issuing: the key is not readable" in page
    assert "given up after 8 attempts" in page
    assert "1</b> needs attention" in text_of(alice, "queue")
    url = reverse("request_retry", args=[request.pk])
    assert "The worker tries again now" in alice.post(url, follow=True).content.decode()
    EnrollmentRequest.objects.filter(pk=request.pk).update(last_fault="")
    assert "not waiting for a retry" in alice.post(url, follow=True).content.decode()


def test_a_rejected_request_is_opened_again_from_its_page(world: World) -> None:
    (request,) = create_requests(world.profile, ["r1.example"])
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="Wrong site", now=now()
    )
    alice = signed_in(world.alice)
    assert "Wrong site" in text_of(alice, "request", request.pk)
    page = alice.post(
        reverse("request_reopen", args=[request.pk]), {"comment": "asked again"}, follow=True
    )
    assert "Open again: it waits for a decision" in page.content.decode()
    request.refresh_from_db()
    assert request.state == State.PENDING


def test_a_banner_says_when_nothing_gets_signed(world: World) -> None:
    rows = create_requests(world.profile, ["r1.example", "r2.example"])
    keys = [row.pk for row in rows]
    due = now() - timedelta(minutes=4)
    EnrollmentRequest.objects.filter(pk__in=keys).update(state=State.APPROVED, next_attempt_at=due)
    assert signing_health(now()).sentence == "Nothing signed for 4 min, 2 waiting."
    assert "Nothing signed for 4 min, 2 waiting." in text_of(signed_in(world.alice), "queue")
    assert not signing_health(due + timedelta(seconds=30)).stalled
    world.ca.paused_at = now()
    world.ca.save()
    assert signing_health(now()).sentence == ""


def test_counts_stop_at_a_lid(world: World) -> None:
    create_requests(world.profile, [f"r{number}.example" for number in range(3)])
    assert str(count(EnrollmentRequest.objects.all())) == "3"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7200, "2 h"), (259_200, "3 d"), (-5, "0 s")],
)
def test_time_spans_are_said_in_one_unit(seconds: int, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_each_role_starts_where_its_work_is(world: World) -> None:
    people = {
        "queue": world.alice,
        "history_requests": create_person("bob", Role.AUDITOR),
        "profiles": create_person("charlie", Role.ADMINISTRATOR),
    }
    for name, user in people.items():
        assert signed_in(user).get("/")["Location"] == reverse(name)
    assert b"without a role" in signed_in(create_person("nora")).get("/").content


@pytest.mark.parametrize(
    "address", ["192.0.2.44", "198.51.100.1", "2001:db8::44", "10.0.0.1", "127.0.0.1"]
)
@pytest.mark.parametrize("kind", ["profile", "authority"])
def test_pausing_and_resuming_is_logged_with_person_and_address(
    world: World, kind: str, address: str
) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    key = world.profile.slug if kind == "profile" else world.ca.name
    for step in ("pause", "resume"):
        charlie.post(reverse(f"{kind}_{step}", args=[key]), REMOTE_ADDR=address, secure=True)
        entry = AuditEntry.objects.get(event=f"{kind}:{step}")
        values = dict(entry.private_values.values_list("path", "value"))
        assert values == {"actor.name": "charlie", "actor.address": address}


def test_an_administrator_pauses_and_resumes_profiles_and_authorities_with_one_click(
    world: World,
) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    for name, key, listing, field in (
        ("profile", world.profile.slug, "profiles", world.profile),
        ("authority", world.ca.name, "authorities", world.ca),
    ):
        page = charlie.post(reverse(f"{name}_pause", args=[key]), follow=True).content.decode()
        field.refresh_from_db()
        assert field.paused_at is not None
        assert f"{key} is paused" in page
        assert "Resume" in text_of(charlie, listing)
        charlie.post(reverse(f"{name}_resume", args=[key]))
        field.refresh_from_db()
        assert field.paused_at is None
    events = set(AuditEntry.objects.filter(actor_kind="user").values_list("event", flat=True))
    assert {"profile:pause", "profile:resume", "authority:pause", "authority:resume"} <= events


def test_the_page_of_authorities_shows_the_fingerprints_to_compare_out_of_band(
    world: World,
) -> None:
    page = text_of(signed_in(world.alice), "authorities")
    der = world.ca.certificate_der
    for algorithm in ("SHA-256", "SHA-1"):
        digest = hashlib.new(algorithm.replace("-", ""), der).hexdigest()
        assert f'data-copy="{digest}" aria-label="Copy the {algorithm} fingerprint"' in page


def test_pages_without_content_say_what_to_do_next(world: World) -> None:
    alice = signed_in(world.alice)
    assert "Nothing waits for a decision" in text_of(alice, "queue")
    assert "./portal demo" in text_of(alice, "history_certificates")
    create_requests(world.profile, ["r1.example"])
    assert "Go to the start of the list" in text_of(
        alice, "queue", after="00000000-0000-7000-8000-000000000000"
    )


def test_the_number_of_queries_does_not_grow_with_the_rows(world: World) -> None:
    alice = signed_in(world.alice)
    create_requests(world.profile, [f"r{number}.example" for number in range(2)])
    text_of(alice, "queue")  # the first page of a session also writes when it began
    with CaptureQueriesContext(connection) as few:
        text_of(alice, "queue")
    create_requests(world.profile, [f"s{number}.example" for number in range(48)])
    with CaptureQueriesContext(connection) as many:
        text_of(alice, "queue")
    assert len(many) == len(few)
