"""Every URL by method and role. A URL that is in no row of the tables fails the test."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models.people import Department, User
from accounts.permissions import can
from accounts.principals import PORTAL, Principal, PrincipalKind
from accounts.roles import Role
from accounts.tokens import API_VERBS
from approvals.challenge_orders.ndes_accounts import NdesAccountOrder, create_ndes_account
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.challenges.static import set_static
from approvals.decisions.decide import approve_request
from approvals.decisions.review_digest import review_digest
from approvals.models.challenges import ChallengePassword, StaticChallenge
from approvals.models.devices import DeviceGroup
from approvals.models.ndes import NdesAccount
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, RefusalNumber
from ca.models.certificates import Certificate
from ca.signing.crl import issue_due_crls
from exchanges.models import Exchange
from selftest.models import SelfTestRun
from selftest.runs import close_lost_runs, start_run
from tests.api.caller import Program, call
from tests.flows.wire import post
from tests.pages import create_requests, signed_in
from tests.world import Device, World, create_person, create_profile, now, principal_of, run_worker

ROLES: Final = ("anonymous", "officer", "elsewhere", "auditor", "administrator", "roleless")
#: The roles that try the methods which no table names. If the role without rights and the one with
#: the most rights both read 405, all roles do.
UNNAMED_METHODS_BY: Final = ("anonymous", "administrator")
#: Administrators of one department: everything here belongs to that of `manager`.
MANAGERS: Final = ("manager", "manager elsewhere")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

EVERYBODY_READS: Final = "302 200 200 200 200 403"
OWN_DEPARTMENT: Final = "302 200 404 200 200 403"
OFFICERS_DO: Final = "302 302 404 403 403 403"
#: 403: the sign-in page itself, which keeps the typed form.
OFFICERS_DECIDE: Final = "403 302 404 403 403 403"
#: 422: the profile of these tests wants no challenge.
CHALLENGES_ARE_MADE: Final = "302 422 404 403 422 403"
CHALLENGE_MAKERS_DO: Final = "302 302 404 403 302 403"
ADMINISTRATORS_DO: Final = "302 403 403 403 302 403"
ALIKE: Final = "{0} {0} {0} {0} {0} {0}"

#: The addresses of the SCEP door, and an address of each.
SCEP: Final[Mapping[str, str]] = {
    r"^scep/+(?P<slug>[a-z0-9-]{1,50})(?:/+pkiclient\.exe)?/*$": "scep/routers/",
    r"^[Cc]ert[Ss]rv/+mscep/+(?P<slug>[a-z0-9-]{1,50})/+mscep\.dll(?:/+pkiclient\.exe)?/*$": (
        "certsrv/mscep/routers/mscep.dll"
    ),
    r"^scep(?:/+pkiclient\.exe)?/*$": "scep",
    r"^cgi-bin/+pkiclient\.exe/*$": "cgi-bin/pkiclient.exe",
    r"^[Cc]ert[Ss]rv/+mscep/+mscep\.dll(?:/+pkiclient\.exe)?/*$": (
        "certsrv/mscep/mscep.dll/pkiclient.exe"
    ),
}
NDES: Final = "^[Cc]ert[Ss]rv/mscep_admin/?$"
#: Statuses in the order of ROLES; `elsewhere` is an officer of another department than everything
#: here. HEAD is as GET unless named; a method that is not named is answered 405.
PAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "": {"GET": "302 302 302 302 302 200"},
    "healthz": {"GET": ALIKE.format(200)},
    "readyz": {"GET": ALIKE.format(200)},
    "queue/": {"GET": EVERYBODY_READS},
    "queue/changes": {"GET": EVERYBODY_READS},
    "queue/decide": {"POST": "403 302 302 403 403 403"},
    "requests/<uuid:request_id>/": {"GET": OWN_DEPARTMENT},
    "requests/<uuid:request_id>/live": {"GET": OWN_DEPARTMENT},
    "requests/<uuid:request_id>/approve": {"POST": OFFICERS_DECIDE},
    "requests/<uuid:request_id>/reject": {"POST": OFFICERS_DECIDE},
    "requests/<uuid:request_id>/reopen": {"POST": OFFICERS_DECIDE},
    "requests/<uuid:request_id>/retry": {"POST": OFFICERS_DO},
    "profiles/": {"GET": EVERYBODY_READS},
    "clients/": {"GET": EVERYBODY_READS},
    "profiles/<slug:slug>/locks/": {"GET": OWN_DEPARTMENT},
    "profiles/<slug:slug>/unlock": {"POST": CHALLENGE_MAKERS_DO},
    "profiles/<slug:slug>/challenges/new": {
        "GET": "302 200 404 403 200 403",
        "POST": "302 422 404 403 422 403",
    },
    "profiles/<slug:slug>/challenges/list": {
        "GET": "302 200 404 403 200 403",
        "POST": "302 422 404 403 422 403",
    },
    "profiles/<slug:slug>/static/": {"GET": OWN_DEPARTMENT},
    "profiles/<slug:slug>/static/rotate": {"POST": "302 403 403 403 200 403"},
    "static-challenges/<uuid:static_id>/": {"GET": OWN_DEPARTMENT},
    "static-challenges/<uuid:static_id>/reveal": {"POST": "302 403 403 403 200 403"},
    "static-challenges/<uuid:static_id>/end": {"POST": ADMINISTRATORS_DO},
    "devices/": {"GET": EVERYBODY_READS, "POST": "302 422 422 422 422 403"},
    "devices/<slug:group_slug>/": {"GET": OWN_DEPARTMENT},
    "devices/<slug:group_slug>/add": {"POST": "302 403 403 403 422 403"},
    "devices/<slug:group_slug>/never-called.csv": {"GET": OWN_DEPARTMENT},
    "challenges/": {"GET": EVERYBODY_READS},
    "challenges/<uuid:challenge_id>/": {"GET": OWN_DEPARTMENT},
    "challenges/<uuid:challenge_id>/withdraw": {"POST": CHALLENGE_MAKERS_DO},
    "profiles/<slug:slug>/pause": {"POST": ADMINISTRATORS_DO},
    "profiles/<slug:slug>/resume": {"POST": ADMINISTRATORS_DO},
    "profiles/<slug:slug>/devices/": {"GET": OWN_DEPARTMENT},
    "profiles/<slug:slug>/devices/<slug:client>/": {"GET": OWN_DEPARTMENT},
    "profiles/<slug:slug>/devices/<slug:client>/challenge": {"POST": CHALLENGES_ARE_MADE},
    "profiles/<slug:slug>/devices/apple/mobileconfig": {"GET": OWN_DEPARTMENT},
    "profiles/<slug:slug>/devices/apple/mobileconfig/challenge": {"POST": CHALLENGES_ARE_MADE},
    "profiles/<slug:slug>/probe": {"POST": ADMINISTRATORS_DO},
    "ndes/": {"GET": "302 403 403 403 200 403", "POST": "302 403 403 403 201 403"},
    "ndes/<uuid:account_id>/password": {"POST": "302 403 403 403 200 403"},
    "ndes/<uuid:account_id>/disable": {"POST": ADMINISTRATORS_DO},
    "history/requests/": {"GET": EVERYBODY_READS},
    "history/certificates/": {"GET": EVERYBODY_READS},
    "history/certificates/<uuid:certificate_id>/": {"GET": OWN_DEPARTMENT},
    "history/certificates/<uuid:certificate_id>/der": {"GET": OWN_DEPARTMENT},
    "history/certificates/<uuid:certificate_id>/pem": {"GET": OWN_DEPARTMENT},
    "history/certificates/<uuid:certificate_id>/chain": {"GET": OWN_DEPARTMENT},
    "history/audit/": {"GET": "302 403 403 200 200 403"},
    "certificates/<uuid:certificate_id>/revoke": {
        "GET": "302 200 404 403 403 403",
        "POST": OFFICERS_DO,
    },
    "certificates/<uuid:certificate_id>/release": {"POST": OFFICERS_DO},
    "inspector/": {"GET": EVERYBODY_READS, "POST": "302 422 422 422 422 403"},
    "inspector/messages/": {"GET": EVERYBODY_READS},
    "inspector/messages/<uuid:exchange_id>/": {"GET": OWN_DEPARTMENT},
    "inspector/messages/<uuid:exchange_id>/open": {"POST": OWN_DEPARTMENT},
    "refusals/<str:number>/": {"GET": OWN_DEPARTMENT},
    "inspector/walk/<uuid:request_id>/": {"GET": OWN_DEPARTMENT},
    "inspector/recording/<slug:slug>/start": {"POST": ADMINISTRATORS_DO},
    "inspector/recording/<slug:slug>/stop": {"POST": ADMINISTRATORS_DO},
    "selftest/": {"GET": EVERYBODY_READS},
    "selftest/start": {"POST": "302 404 404 403 302 403"},
    "selftest/<uuid:run_id>/": {"GET": OWN_DEPARTMENT},
    "selftest/<uuid:run_id>/live": {"GET": OWN_DEPARTMENT},
    "ca/": {"GET": EVERYBODY_READS},
    "ca/<slug:name>.cer": {"GET": ALIKE.format(200)},
    "ca/<slug:name>.pem": {"GET": ALIKE.format(200)},
    "ca/<slug:name>.crl": {"GET": ALIKE.format(200)},
    "ca/<slug:name>/pause": {"POST": ADMINISTRATORS_DO},
    "ca/<slug:name>/resume": {"POST": ADMINISTRATORS_DO},
    "keys/": {"GET": EVERYBODY_READS, "POST": "302 403 403 403 422 403"},
    "keys/unblock": {"POST": ADMINISTRATORS_DO},
    **{
        route: {"GET": ALIKE.format(400), "HEAD": ALIKE.format(405), "POST": ALIKE.format(400)}
        for route in SCEP
    },
    NDES: {"GET": ALIKE.format(401), "HEAD": ALIKE.format(405), "POST": ALIKE.format(401)},
    "account/tokens/": {"GET": "302 200 200 200 200 403", "POST": "302 201 201 201 201 403"},
    "account/tokens/<uuid:token_id>/revoke": {"POST": "302 404 404 404 302 403"},
    "api/": {method: ALIKE.format(404) for method in METHODS},
    "account/password/link/<str:token>": {"GET": ALIKE.format(410), "POST": ALIKE.format(410)},
    "account/setup/<str:token>": {"GET": ALIKE.format(410), "POST": ALIKE.format(410)},
}
#: Status for MANAGERS where it differs from an administrator of the whole organization; the rest:
#: `status_of`.
BEYOND_A_DEPARTMENT: Final[Mapping[tuple[str, str], str]] = {
    ("POST", "ca/<slug:name>/pause"): "403 403",
    ("POST", "ca/<slug:name>/resume"): "403 403",
    ("POST", "keys/"): "403 403",
    ("POST", "keys/unblock"): "403 403",
    ("POST", "account/tokens/<uuid:token_id>/revoke"): "404 404",
    ("POST", "ndes/"): "201 422",
    ("POST", "selftest/start"): "302 404",
}
#: The REST door, by a token of the role for everything that the role may; without a session.
#: `roleless` has no token.
API: Final[Mapping[str, Mapping[str, str]]] = {
    "api/v1/challenges": {"POST": "401 201 403 403 201 401"},
    "api/v1/challenges/<uuid:challenge_id>": {
        "GET": "401 200 404 403 200 401",
        "DELETE": "401 200 404 403 200 401",
    },
    "api/v1/profiles": {"GET": "401 200 200 200 200 401"},
    "api/v1/requests/<uuid:request_id>": {"GET": "401 200 404 200 200 401"},
}
#: allauth's own pages: status of GET and POST; other methods change nothing.
ACCOUNT: Final[Mapping[str, Mapping[str, str]]] = {
    "account/login/": {"GET": "200 302 302 302 302 302", "POST": "200 302 302 302 302 302"},
    "account/logout/": {"GET": "302 200 200 200 200 200", "POST": ALIKE.format(302)},
    "account/signup/": {"GET": "200 302 302 302 302 302", "POST": "200 302 302 302 302 302"},
    "account/inactive/": {"GET": ALIKE.format(200), "POST": ALIKE.format(405)},
    "account/password/change/": {
        "GET": "302 200 200 200 200 200",
        "POST": "302 200 200 200 200 200",
    },
    "account/reauthenticate/": {
        "GET": "302 200 200 200 200 200",
        "POST": "302 200 200 200 200 200",
    },
}
#: The admin: everyone but administrators is sent to sign in. By model, the permissions of an
#: administrator.
ADMIN_MODELS: Final[Mapping[str, frozenset[str]]] = {
    "accounts/user": frozenset({"add", "change"}),
    "accounts/department": frozenset({"add", "change"}),
    "approvals/enrollmentprofile": frozenset({"add", "change"}),
    "approvals/enrollmentrequest": frozenset(),
    "approvals/decision": frozenset(),
    "approvals/challengepassword": frozenset(),
    "ca/certificateprofile": frozenset({"add", "change"}),
    "ca/certificateauthority": frozenset(),
    "ca/certificate": frozenset(),
}
#: Pages of the admin without a model: the status for an administrator's GET.
ADMIN_PAGES: Final[Mapping[str, int]] = {
    "admin/": 200,
    "admin/login/": 302,
    "admin/logout/": 405,
    "admin/password_change/": 302,
    "admin/password_change/done/": 200,
    "admin/autocomplete/": 403,
    "admin/jsi18n/": 200,
    "admin/r/<path:content_type_id>/<path:object_id>/": 404,
    "admin/accounts/user/<id>/password/": 200,
    "admin/^(?P<app_label>accounts|ca|approvals)/$": 200,
    "admin/(?P<url>.*)$": 404,
}


@dataclass(frozen=True)
class Stage:
    """The objects that stand for the converters of a route, all of the department `here`."""

    request: EnrollmentRequest
    certificate: Certificate
    profile: EnrollmentProfile
    people: Mapping[str, User]
    sessions: Mapping[str, str]
    challenge: ChallengePassword
    static: StaticChallenge
    exchange: Exchange
    run: SelfTestRun
    ndes_account: NdesAccount
    programs: Mapping[str, Program]
    refusal_number: str
    browser: Client

    def path(self, route: str) -> str:
        """Return an address of the route that names an existing object."""
        values = {
            "<uuid:request_id>": str(self.request.pk),
            "<uuid:certificate_id>": str(self.certificate.pk),
            "<uuid:challenge_id>": str(self.challenge.pk),
            "<uuid:static_id>": str(self.static.pk),
            "<uuid:exchange_id>": str(self.exchange.pk),
            "<uuid:run_id>": str(self.run.pk),
            "<uuid:account_id>": str(self.ndes_account.pk),
            "<uuid:token_id>": str(self.programs["foreign"].token.pk),
            "<slug:slug>": self.profile.slug,
            "<slug:client>": "strongswan",
            "<slug:group_slug>": "switches",
            "<slug:name>": self.profile.ca.name,
            "<str:token>": "a-token",
            "<str:number>": self.refusal_number,
            **SCEP,
            NDES: "certsrv/mscep_admin/",
            "^(?P<app_label>accounts|ca|approvals)/$": "accounts/",
            "(?P<url>.*)$": "nothing-here/",
            "<path:content_type_id>/<path:object_id>": "1/1",
            "<id>": str(self.people["roleless"].pk),
        }
        for mark, value in values.items():
            route = route.replace(mark, value)
        return f"/{route}"

    def data(self) -> dict[str, object]:
        """Return a form that every decision accepts."""
        digest = review_digest(self.request)
        return {
            "view_sha256": digest,
            "comment": "seen",
            "verdict": "approve",
            "rows": [f"{self.request.pk}:{digest}"],
            "reason": "superseded",
            "lifetime": "1h",
            "overlap": "1h",
            "count": "1",
            "hours": "1",
            "profile": self.profile.slug,
        }

    def form(self, path: str) -> dict[str, object]:
        """Return the form that a page accepts."""
        if path == "/account/tokens/":
            return {"name": "mdm", "scopes": ["profile:view"], "days": 30}
        return self.ndes_form() if path == "/ndes/" else self.data()

    def ndes_form(self) -> dict[str, object]:
        """Return the form of an NDES account."""
        limits = {"max_unused": 5, "minutes": 60, "encoding": "utf-8"}
        return {
            "name": "fleet",
            "profile": self.ndes_account.profile_id,
            "owner": "Mobile team",
            **limits,
        }

    def admin_object(self, model: str) -> object:
        """Return the key of an object of a model of the admin."""
        objects: dict[str, object] = {
            "accounts/user": self.people["roleless"].pk,
            "accounts/department": self.profile.department_id,
            "approvals/enrollmentprofile": self.profile.pk,
            "approvals/enrollmentrequest": self.request.pk,
            "approvals/decision": self.certificate_decision,
            "approvals/challengepassword": self.challenge.pk,
            "ca/certificateprofile": self.profile.certificate_profile_id,
            "ca/certificateauthority": self.profile.ca_id,
            "ca/certificate": self.certificate.pk,
        }
        return objects.get(model, UUID(int=0))

    @property
    def certificate_decision(self) -> object:
        """The decision that led to the certificate."""
        return EnrollmentRequest.objects.get(pk=self.certificate.order_id).decisions.get().pk


@pytest.fixture
def stage(world: World, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(
        settings, "PORTAL_PUBLIC_URL", "http://pki.example:8000"
    )  # configurations are written
    monkeypatch.setattr("pkiportal.health.broker_answers", lambda: True)
    here = Department.objects.create(slug="here", name="Here")
    elsewhere = Department.objects.create(slug="elsewhere", name="Elsewhere")
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(department=here, is_default=True)
    world.profile.refresh_from_db()
    Device.named("r1.example").enroll()
    issued = EnrollmentRequest.objects.get()
    approve_request(
        request_id=issued.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    issue_due_crls(now=now())
    (request,) = create_requests(world.profile, ["r2.example"])
    people = {
        "officer": create_person("olga", Role.OFFICER, department=here),
        "elsewhere": create_person("emil", Role.OFFICER, department=elsewhere),
        "auditor": create_person("bob", Role.AUDITOR),
        "administrator": create_person("charlie", Role.ADMINISTRATOR),
        "manager": create_person("mona", Role.ADMINISTRATOR, department=here),
        "manager elsewhere": create_person("milo", Role.ADMINISTRATOR, department=elsewhere),
        "roleless": create_person("nora"),
    }
    certificate = Certificate.objects.get(order_id=issued.pk)
    run = start_run(
        profile=world.profile,
        principal=Principal(kind=PrincipalKind.COMMAND, name="root"),
        now=now(),
    )
    close_lost_runs(now=now() + timedelta(hours=1))
    post(b"no message")
    phones = create_profile(world.ca, "phones", challenge="one-time")
    EnrollmentProfile.objects.filter(pk=phones.pk).update(department=here)
    account, _ = create_ndes_account(
        NdesAccountOrder("jamf", phones, "x"), principal=PORTAL, now=now()
    )
    return Stage(
        *(
            request,
            certificate,
            world.profile,
            people,
            sessions_of(people),
            *challenges_here(world.profile),
            Exchange.objects.get(),
            run,
        ),
        *(account, programs_of(people, world.alice)),
        refusal_number=RefusalNumber.objects.get().number,
        browser=Client(raise_request_exception=False),
    )


def sessions_of(people: Mapping[str, User]) -> dict[str, str]:
    """Sign everybody in once: the keys of their sessions."""
    return {
        role: signed_in(user).cookies[settings.SESSION_COOKIE_NAME].value
        for role, user in people.items()
    }


def challenges_here(profile: EnrollmentProfile) -> tuple[ChallengePassword, StaticChallenge]:
    """Make one challenge of each kind, and let the profile need none afterwards."""
    EnrollmentProfile.objects.filter(pk=profile.pk).update(challenge="one-time")
    profile.refresh_from_db()
    ((one_time, _),) = create_challenges(ChallengeOrder(profile), principal=PORTAL, now=now())
    EnrollmentProfile.objects.filter(pk=profile.pk).update(challenge="none")
    static = set_static(profile, "a secret of the routers", principal=PORTAL, now=now())
    profile.refresh_from_db()
    DeviceGroup.objects.create(slug="switches", department=profile.department, created_at=now())
    return one_time, static


def programs_of(people: Mapping[str, User], stranger: User) -> dict[str, Program]:
    """A token of each person with every right of the API, and one of another person."""
    programs = {"foreign": Program(stranger)}
    for role, user in people.items():
        scopes = [verb for verb in API_VERBS if can(user, verb)]
        programs |= {role: Program(user, *scopes)} if scopes else {}
    return programs


def test_every_url_is_in_the_tables() -> None:
    known = {*PAGES, *API, *ACCOUNT, *ADMIN_PAGES, *admin_routes()}
    assert sorted(set(routes()) ^ known) == []


@pytest.mark.parametrize("role", [*ROLES, *MANAGERS])
def test_every_page_answers_each_method_as_the_role_deserves(stage: Stage, role: str) -> None:
    faults = []
    for route, by_method in {**PAGES, **ACCOUNT}.items():
        for method in METHODS:
            statuses = by_method.get(method) or (by_method.get("GET") if method == "HEAD" else None)
            if statuses is None and (route in ACCOUNT or role not in UNNAMED_METHODS_BY):
                continue
            expected = status_of(role, method, route, statuses.split()) if statuses else 405
            status = answer(stage, role, method, stage.path(route))
            if status != expected:
                faults.append(f"{method} {route}: {status} instead of {expected}")
    assert "\n".join(faults) == ""


@pytest.mark.parametrize("role", [*ROLES, *MANAGERS])
def test_the_admin_opens_for_administrators_only_and_lets_them_change_what_the_table_says(
    stage: Stage, role: str
) -> None:
    faults = []
    for method, path, as_administrator in admin_visits(stage):
        expected = as_administrator if role == "administrator" else 302
        if path == "/admin/login/" and role not in {"administrator", "anonymous"}:
            expected = 403  # signed in already, without access to the admin site
        status = answer(stage, role, method, path)
        if status != expected:
            faults.append(f"{method} {path}: {status} instead of {expected}")
    assert "\n".join(faults) == ""


ODD_FORMS: Final[tuple[Mapping[str, object], ...]] = (
    {},
    {
        "comment": "",
        "verdict": "neither",
        "rows": ["no-uuid:no-digest"],
        "view_sha256": "\N{SNOWMAN}",
    },
    {
        "comment": "x" * 5000,
        "rows": [":"],
        "profile": "no-such-profile",
        "count": "-1",
        "hours": "1e9",
        "days": "never",
    },
    {
        "reason": "no reason",
        "rows": [f"{UUID(int=0)}:"],
        "lifetime": "0",
        "overlap": "-",
        "name": "x" * 500,
    },
    {
        "comment": "a\x00b",
        "name": "\x00",
        "reason": "\x00",
        "subject": "\x00",
        "created_for": "\x00",
        "pasted": "\x00",
    },
    {
        "reason": "",
        "networks": "10.0.0.1/8",
        "names": "a\nb\nc",
        "lines": "=1+1",
        "scopes": "everything",
        "count": "²",
    },
)


@pytest.mark.parametrize("role", ["officer", "administrator", *MANAGERS])
def test_no_form_however_odd_makes_a_page_run_into_a_fault(stage: Stage, role: str) -> None:
    faults = []
    for route in (
        route for route, by_method in {**PAGES, **ACCOUNT}.items() if "POST" in by_method
    ):
        for form in ODD_FORMS:
            path = stage.path(route)
            status = answer(stage, role, "POST", path, {**stage.form(path), **form} if form else {})
            faults += [f"POST {route} {form}: {status}"] if status >= 500 else []
    assert "\n".join(faults) == ""


@pytest.mark.parametrize("role", ROLES)
def test_the_rest_door_answers_each_method_as_the_token_of_a_role_deserves(
    stage: Stage, role: str
) -> None:
    faults = []
    program = stage.programs.get(role)
    for route, by_method in API.items():
        for method in METHODS:
            statuses = by_method.get("GET" if method == "HEAD" else method)
            has_scope = role != "auditor" or "challenges" not in route
            unnamed = (405 if has_scope else 403) if program else 401
            expected = int(statuses.split()[ROLES.index(role)]) if statuses else unnamed
            body = {"profile": "phones"} if method == "POST" else None
            path = stage.path(route).removeprefix("/api/v1")
            with transaction.atomic():
                status = (program.call if program else call)(method, path, body).status_code
                transaction.set_rollback(True)
            if status != expected:
                faults.append(f"{method} {route}: {status} instead of {expected}")
    assert "\n".join(faults) == ""


def test_an_unknown_object_and_a_foreign_one_look_the_same(stage: Stage) -> None:
    client = signed_in(stage.people["elsewhere"])
    answers = [client.get(f"/requests/{key}/") for key in (stage.request.pk, UUID(int=7))]
    pages = [
        re.sub(rb'name="csrfmiddlewaretoken" value="[^"]+"', b"", page.content) for page in answers
    ]
    assert [page.status_code for page in answers] == [404, 404]
    assert pages[0] == pages[1]


def status_of(role: str, method: str, route: str, statuses: list[str]) -> int:
    """Return the expected status of a role; administrators elsewhere know no object here."""
    if role not in MANAGERS:
        return int(statuses[ROLES.index(role)])
    if beyond := BEYOND_A_DEPARTMENT.get((method, route)):
        return int(beyond.split()[MANAGERS.index(role)])
    as_administrator = int(statuses[ROLES.index("administrator")])
    is_hidden = "<" in route and len(set(statuses)) > 1 and as_administrator != 403
    return 404 if role == "manager elsewhere" and is_hidden else as_administrator


def answer(
    stage: Stage, role: str, method: str, path: str, form: Mapping[str, object] | None = None
) -> int:
    """Return the status of one request (500 for an unexpected exception), and undo its effects."""
    client = stage.browser
    client.cookies.clear()
    if role in stage.sessions:
        client.cookies[settings.SESSION_COOKIE_NAME] = stage.sessions[role]
    with transaction.atomic():
        data = (stage.form(path) if form is None else form) if method == "POST" else None
        if urlsplit(path).path == "/queue/changes":
            path += f"?top={UUID(int=0)}"
        if method == "POST" and path.strip("/") in {
            address.strip("/") for address in SCEP.values()
        }:
            status = client.post(path, b"0", content_type="application/x-pki-message").status_code
        elif method == "POST":
            status = client.post(path, data).status_code
        else:
            status = client.generic(method, path).status_code
        transaction.set_rollback(True)
    return status


def routes() -> Iterator[str]:
    """Every route of the portal, as it is written."""
    yield from _walk(get_resolver().url_patterns, "")


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
        else:
            yield route


def admin_routes() -> Iterator[str]:
    """The routes of the models of the admin."""
    for model in ADMIN_MODELS:
        for page in (
            "",
            "add/",
            *(f"<path:object_id>/{name}" for name in ("history/", "delete/", "change/", "")),
        ):
            yield f"admin/{model}/{page}"


def admin_visits(stage: Stage) -> Iterator[tuple[str, str, int]]:
    """Method, address, and the expected status of an administrator."""
    for route, status in ADMIN_PAGES.items():
        yield "GET", stage.path(route), status
    for model, allowed in ADMIN_MODELS.items():
        key, may_change = stage.admin_object(model), "change" in allowed
        exists = key != UUID(int=0)
        yield "GET", f"/admin/{model}/", 200
        yield "GET", f"/admin/{model}/add/", 200 if "add" in allowed else 403
        yield "POST", f"/admin/{model}/add/", 200 if "add" in allowed else 403
        yield "POST", f"/admin/{model}/", 200
        yield "GET", f"/admin/{model}/{key}/", 302
        if exists:
            yield "GET", f"/admin/{model}/{key}/change/", 200
            yield "POST", f"/admin/{model}/{key}/change/", 200 if may_change else 403
            yield "GET", f"/admin/{model}/{key}/history/", 200
            yield "GET", f"/admin/{model}/{key}/delete/", 403
            yield "POST", f"/admin/{model}/{key}/delete/", 403
