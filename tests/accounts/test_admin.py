"""The admin pages: people, departments and profiles, each change with its entry."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models.people import Department, RoleAssignment, User
from accounts.roles import Role
from approvals.models.profiles import EnrollmentProfile
from audit.models import AuditEntry
from ca.models.profiles import CertificateProfile
from tests.pages import create_requests, signed_in
from tests.selftest.walking import create_loop
from tests.world import Device, World, create_person


@pytest.fixture
def charlie(world: World) -> Client:
    return signed_in(create_person("charlie", Role.ADMINISTRATOR))


def form_of(answer: Any) -> dict[str, Any]:
    """Return the values a browser would send back: those of the admin form and its inlines."""
    form = answer.context["adminform"].form
    data = {
        f"{name}": form.get_initial_for_field(field, name) for name, field in form.fields.items()
    }
    data = {
        name: form.fields[name].prepare_value(value)
        for name, value in data.items()
        if value not in (None, False)
    }
    for formset in answer.context["inline_admin_formsets"]:
        management = formset.formset.management_form
        data |= {management.add_prefix(name): value for name, value in management.initial.items()}
    return data


def events_since(start: int) -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("event", flat=True))[start:]


def test_an_administrator_adds_a_person_and_grants_and_takes_away_a_role(charlie: Client) -> None:
    start = AuditEntry.objects.count()
    form = {"username": "dora", "full_name": "Dora", "email": ""}
    roles = {"role_assignments-TOTAL_FORMS": "0", "role_assignments-INITIAL_FORMS": "0"}
    assert charlie.post(reverse("admin:accounts_user_add"), form | roles).status_code == 302
    dora = User.objects.get(username="dora")
    url = reverse("admin:accounts_user_change", args=[dora.pk])
    person = {"username": "dora", "full_name": "Dora D", "is_active": "on"}
    granted = {
        "role_assignments-TOTAL_FORMS": "1",
        "role_assignments-INITIAL_FORMS": "0",
        "role_assignments-0-role": "officer",
        "role_assignments-0-user": str(dora.pk),
    }
    assert charlie.post(url, person | granted).status_code == 302
    assignment = RoleAssignment.objects.get(user=dora)
    taken = {
        "role_assignments-TOTAL_FORMS": "1",
        "role_assignments-INITIAL_FORMS": "1",
        "role_assignments-0-id": str(assignment.pk),
        "role_assignments-0-user": str(dora.pk),
        "role_assignments-0-DELETE": "on",
    }
    assert charlie.post(url, person | taken).status_code == 302
    assert not RoleAssignment.objects.filter(user=dora).exists()
    assert {"user:create", "role:grant", "user:change", "role:revoke"} <= set(events_since(start))


def test_saving_a_certificate_profile_makes_a_new_version(world: World, charlie: Client) -> None:
    profile = CertificateProfile.objects.get(slug="routers")
    url = reverse("admin:ca_certificateprofile_change", args=[profile.pk])
    form = form_of(charlie.get(url))
    assert charlie.post(url, form).status_code == 302
    profile.refresh_from_db()
    assert profile.current
    assert profile.current.number == 1
    changed = form | {
        "validity_days": 90,
        "san_patterns": "dns: .*[.]example",
        "other_purposes": "1.2.3.4",
    }
    assert charlie.post(url, changed).status_code == 302
    profile.refresh_from_db()
    assert profile.current.number == 2
    spec = profile.current.resolve()
    assert (spec.validity_days, dict(spec.san_patterns)) == (90, {"dns": (".*[.]example",)})
    assert spec.extended_key_usages == ("client-auth", "1.2.3.4")
    assert form_of(charlie.get(url))["san_patterns"] == "dns: .*[.]example"
    assert AuditEntry.objects.filter(event="certificate-profile:change").count() == 1


def test_a_new_name_of_a_certificate_profile_is_on_record(world: World, charlie: Client) -> None:
    profile = CertificateProfile.objects.get(slug="routers")
    url = reverse("admin:ca_certificateprofile_change", args=[profile.pk])
    form = form_of(charlie.get(url))
    assert charlie.post(url, form | {"name": "All routers"}).status_code == 302
    entry = AuditEntry.objects.get(event="certificate-profile:change")
    assert entry.data == {"name": "All routers", "name_before": form["name"]}
    person = User.objects.get(username="charlie")
    assert (entry.actor_id, entry.subject_id) == (str(person.pk), "routers")
    profile.refresh_from_db()
    assert profile.current
    assert profile.current.number == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"validity_days": 0}, "a whole number from 1 to 36500"),
        ({"subject_patterns": "CN"}, "write a name, a colon and a pattern"),
        ({"rsa_exponents": "three"}, "numbers with commas"),
        ({"crl_url": "https://example.org/"}, "starts with http://"),
    ],
)
def test_rules_that_make_no_sense_are_named_at_their_field(
    charlie: Client, change: dict[str, Any], sentence: str
) -> None:
    profile = CertificateProfile.objects.get(slug="routers")
    url = reverse("admin:ca_certificateprofile_change", args=[profile.pk])
    answer = charlie.post(url, form_of(charlie.get(url)) | change)
    assert answer.status_code == 200
    assert sentence in answer.content.decode()


def test_an_enrollment_profile_is_made_and_changed_in_the_admin(
    world: World, charlie: Client
) -> None:
    add = reverse("admin:approvals_enrollmentprofile_add")
    form = form_of(charlie.get(add)) | {
        "slug": "printers",
        "name": "Printers",
        "ca": world.ca.pk,
        "certificate_profile": world.profile.certificate_profile_id,
        "challenge": "static",
        "networks": "10.0.0.0/8\n2001:db8::/32",
    }
    assert "Set one, or choose another" in charlie.post(add, form).content.decode()
    weak = charlie.post(add, form | {"new_static_challenge": "short"}).content.decode()
    assert "12 to 255 printable characters" in weak
    assert (
        charlie.post(add, form | {"new_static_challenge": "a secret of the printers"}).status_code
        == 302
    )
    profile = EnrollmentProfile.objects.get(slug="printers")
    assert (profile.networks, profile.version) == (["10.0.0.0/8", "2001:db8::/32"], 1)
    assert profile.static_challenges.get().created_by == User.objects.get(username="charlie")
    url = reverse("admin:approvals_enrollmentprofile_change", args=[profile.pk])
    page = charlie.get(url)
    assert "a secret of" not in page.content.decode()
    assert (
        "write it like 10.20.0.0/16"
        in charlie.post(url, form_of(page) | {"networks": "10.0.0.1/8"}).content.decode()
    )
    assert charlie.post(url, form_of(page) | {"required_approvals": 2}).status_code == 302
    profile.refresh_from_db()
    assert (profile.required_approvals, profile.version) == (2, 2)
    events = (
        AuditEntry.objects.filter(subject_id="printers")
        .order_by("id")
        .values_list("event", flat=True)
    )
    assert list(events) == ["profile:create", "profile:change"]


def test_the_log_shows_who_moved_a_profile_to_which_department_and_that_a_challenge_was_replaced(
    world: World, charlie: Client
) -> None:
    lab = Department.objects.create(slug="lab", name="Lab")
    url = reverse("admin:approvals_enrollmentprofile_change", args=[world.profile.pk])
    moved = {"department": lab.pk, "owner": str(world.alice.pk), "name": "Lab routers"}
    assert charlie.post(url, form_of(charlie.get(url)) | moved).status_code == 302
    secret = {"challenge": "static", "new_static_challenge": "canary of the routers"}
    assert charlie.post(url, form_of(charlie.get(url)) | secret).status_code == 302
    created, move, replacement = AuditEntry.objects.filter(
        subject_kind="profile", subject_id="routers"
    ).order_by("id")
    assert (created.data["department"], created.data["owner"], created.department) == ("", "", "")
    expected = {"department": "lab", "owner": str(world.alice.pk), "name": "Lab routers"}
    assert {name: move.data[name] for name in expected} == expected
    assert (move.department, move.data["static_challenge_replaced"]) == ("lab", False)
    assert replacement.data["static_challenge_replaced"] is True
    assert "canary" not in str(replacement.data)


def test_without_a_challenge_only_manual_approval_is_accepted(
    world: World, charlie: Client
) -> None:
    url = reverse("admin:approvals_enrollmentprofile_change", args=[world.profile.pk])
    answer = charlie.post(url, form_of(charlie.get(url)) | {"approval": "automatic"})
    assert "Without a challenge only manual approval is possible" in answer.content.decode()


def test_a_ca_of_self_tests_is_refused_at_its_field(world: World, charlie: Client) -> None:
    url = reverse("admin:approvals_enrollmentprofile_change", args=[world.profile.pk])
    answer = charlie.post(url, form_of(charlie.get(url)) | {"ca": create_loop().ca_id})
    assert answer.status_code == 200
    assert "a CA of self-tests serves self-tests only" in answer.content.decode()


def test_records_are_shown_and_never_changed(world: World, charlie: Client) -> None:
    Device.named("r1.example").enroll()
    create_requests(world.profile, ["r2.example"])
    for model in (
        "approvals_enrollmentrequest",
        "approvals_decision",
        "ca_certificate",
        "ca_certificateauthority",
    ):
        page = charlie.get(reverse(f"admin:{model}_changelist"))
        assert page.status_code == 200
        assert "addlink" not in page.content.decode().split('id="content"')[1]


def test_an_administrator_of_a_department_pauses_its_profiles_and_does_not_open_the_admin(
    world: World,
) -> None:
    here = Department.objects.create(slug="here", name="Here")
    dave = signed_in(create_person("dave", Role.ADMINISTRATOR, department=here))
    assert dave.get(reverse("admin:index")).status_code == 302
    pause = reverse("profile_pause", args=[world.profile.slug])
    assert dave.post(pause).status_code == 404
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(department=here)
    assert dave.post(pause).status_code == 302
    world.profile.refresh_from_db()
    assert world.profile.paused_at
