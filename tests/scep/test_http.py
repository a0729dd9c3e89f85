"""SCEP over HTTP as devices and strangers speak it (RFC 8894 4; attacks D-39 and D-40)."""

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.http import HttpResponse
from django.test import Client

from approvals.decisions.decide import approve_request
from approvals.enrollment import polls
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.rules.errors import ProfileInvalid
from audit.events import Event
from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from ca.models.keys import ServiceKey
from exchanges.models import Exchange
from exchanges.storage import ExchangeRecorder
from keys.errors import KeyStoreError
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import read_certificates
from scep.ra.keys import RaNotReady
from tests.flows.wire import URL, Answer, message, nothing_granted, post, ra_certificate, read
from tests.pages import signed_in
from tests.scep.forge import csr, identity
from tests.world import World, create_profile, forget_caches, now, principal_of, run_worker


def get(query: str, path: str = URL, method: str = "GET", **environment: Any) -> HttpResponse:
    """Ask with a raw query string."""
    return Client().generic(method, f"{path}?{query}", b"", "", **environment)  # type: ignore[return-value]  # ours


def get_message(text: str, **environment: Any) -> Answer:
    """Send a message by GET, as text that is in the query already."""
    return read(get(f"operation=PKIOperation&message={text}", **environment))


# -------------------------------------------------------------------------- GetCACaps and GetCACert


def test_capabilities_are_plain_lines_and_promise_nothing_that_is_not_there(world: World) -> None:
    answer = get("operation=GetCACaps")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain"
    lines = answer.content.decode("ascii").split("\n")
    assert sorted(filter(None, lines)) == [
        "AES",
        "POSTPKIOperation",
        "SCEPStandard",
        "SHA-256",
        "SHA-384",
        "SHA-512",
    ]
    assert all(line == line.strip() for line in lines)
    assert len(answer.content) <= 1024


def test_the_certificates_are_ra_then_issuer_in_this_order_with_the_exact_content_type(
    world: World,
) -> None:
    answer = get("operation=GetCACert")
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        200,
        "application/x-x509-ca-ra-cert",
    )
    assert read_certificates(answer.content) == (ra_certificate(world.ca), world.ca.certificate_der)


@pytest.mark.parametrize("operation", ["GetCACaps", "GetCACert"])
def test_these_answers_are_the_same_for_head_for_any_ident_and_without_slash(
    world: World, operation: str
) -> None:
    expected = get(f"operation={operation}")
    for ident in (
        "",
        "0",
        "1",
        "32",
        "default",
        "CAIdentifier",
        "DummyCAIdentity",
        "%C3%BC",
        "a%00b",
    ):
        assert get(f"operation={operation}&message={ident}").content == expected.content
    assert get(f"message=a&operation={operation}&message=b").content == expected.content
    assert get(f"operation={operation.lower()}").content == expected.content
    assert get(f"operation={operation}", "/scep/routers").content == expected.content
    head = get(f"operation={operation}", method="HEAD")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(expected.content)))
    assert head.headers["Content-Type"] == expected.headers["Content-Type"]


def test_an_old_name_of_the_chain_is_understood_and_there_is_no_next_ca(world: World) -> None:
    for name in ("GetCACertChain", "GetCAChain", "getcachain", "GETCACERT"):
        assert get(f"operation={name}").content == get("operation=GetCACert").content
    assert get("operation=GetNextCACert").status_code == 404


def test_d40_a_query_that_cannot_be_read_is_400_and_says_why(world: World) -> None:
    queries = {
        "": "operation is missing",
        "message=": "operation is missing",
        "operation=": "operation is missing",
        "operation=decode": "unknown operation",
        "operation=PKIOperation%00": "unknown operation",
        "operation=PKIOperation": "message is missing",
        "operation=PKIOperation&message=": "the message is empty",
        "operation=PKIOperation&message=%25": "message is not base64",
        "operation=GetCACaps&operation=GetCACert": "operation is given twice",
        "operation=PKIOperation&message=MIIA&message=MIIA": "message is given twice",
        "message=MIIA&message=MIIA": "message is given twice",
    }
    for query, text in queries.items():
        answer = get(query)
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "text/plain")
        assert answer.content.decode() == f"{text}\n"


def test_an_unknown_profile_is_404_for_every_operation(world: World) -> None:
    for query in (
        "operation=GetCACaps",
        "operation=GetCACert",
        "operation=PKIOperation&message=MIIA",
    ):
        assert get(query, "/scep/unknown/").status_code == 404
    assert post(message(world, csr()), "unknown").http == 404
    for path in (
        "/scep/Routers/",
        "/certsrv/mscep/unknown/mscep.dll",
        "/scep/routers/x/",
        "/scep/%00/",
        "/scep/..%2f..%2fadmin/",
        "/scep/r%20/",
    ):
        assert get("operation=GetCACaps", path).status_code == 404, path


WITH_SLUG = ("/scep/routers", "/scep/routers/pkiclient.exe", "/certsrv/mscep/routers/mscep.dll")
WITHOUT_SLUG = (
    "/scep",
    "/scep/pkiclient.exe",
    "/cgi-bin/pkiclient.exe",
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/CertSrv/mscep/mscep.dll",
)


def test_a1_7_every_address_that_devices_have_built_in_answers_at_once_with_and_without_slash(
    world: World,
) -> None:
    create_profile(world.ca, "phones", is_default=True)
    certificates = get("operation=GetCACert").content
    addresses = dict.fromkeys(WITH_SLUG, "routers") | dict.fromkeys(WITHOUT_SLUG, "phones")
    addresses["/certsrv/mscep/routers/mscep.dll/pkiclient.exe"] = "routers"
    for number, (path, slug) in enumerate(addresses.items()):
        for spelling in (path, f"{path}/"):
            environment = {"SERVER_PROTOCOL": "HTTP/1.0", "HTTP_HOST": "a b"}
            answer = get("operation=GetCACert&message=default", spelling, **environment)
            assert (answer.status_code, answer.content) == (200, certificates), spelling
            assert not answer.cookies
            sent = message(world, csr(), transaction_id=f"{number}{spelling}")
            assert read(Client().generic("POST", spelling, sent, "")).status is PKIStatus.PENDING, (
                spelling
            )
            assert (
                EnrollmentTransaction.objects.get(transaction_id=f"{number}{spelling}").profile.slug
                == slug
            )
            too_large = Client().generic("POST", spelling, b"x", "", CONTENT_LENGTH="65537")
            assert too_large.status_code == 413


#: Slashes that a device has put before, between and after the parts of an address.
DOUBLED = (
    "/scep//routers",
    "/scep/routers//",
    "/scep/routers///pkiclient.exe",
    "/scep//routers//pkiclient.exe//",
    "/scep//pkiclient.exe",
    "/cgi-bin//pkiclient.exe",
    "/certsrv//mscep//mscep.dll",
    "/certsrv/mscep//routers/mscep.dll//pkiclient.exe",
    "//scep/routers/",
    "///scep//routers//",
    "//scep/routers//pkiclient.exe",
    "//cgi-bin/pkiclient.exe",
    "////cgi-bin//pkiclient.exe",
    "//certsrv/mscep/mscep.dll",
    "//CertSrv//mscep/routers/mscep.dll",
)


@pytest.mark.parametrize(
    "path",
    [
        *("//queue/", "//account/login/", "//example.org/queue", "//scepter/", "//admin/", "//"),
        *(
            "//api/v1/challenges",
            "//certsrv/mscep_admin/",
            "//healthz",
            "//example.org/scep/routers/",
        ),
    ],
)
def test_slashes_before_other_addresses_open_nothing_and_lead_nowhere_else(
    world: World, path: str
) -> None:
    answer = get("operation=GetCACaps", PATH_INFO=path)
    assert answer.status_code in {400, 403, 404}
    assert "Location" not in answer.headers


@pytest.mark.parametrize("path", DOUBLED)
def test_a1_7_slashes_that_a_device_doubles_stand_for_one(world: World, path: str) -> None:
    once = re.sub("/+", "/", path)
    for query, expected in {
        "operation=GetCACaps": 200,
        "operation=GetCACert&message=x": 200,
        "": 400,
    }.items():
        # The test client takes `//name/…` for an address with a host, so the path is given apart.
        doubled, single = (
            get(query, PATH_INFO=path, HTTP_HOST="a b"),
            get(query, once, HTTP_HOST="a b"),
        )
        assert (doubled.status_code, doubled.content) == (expected, single.content)
    sent = message(world, csr())
    assert read(Client().generic("POST", "/", sent, "", PATH_INFO=path)).status is PKIStatus.PENDING


def test_a1_7_an_address_without_a_name_leads_to_the_only_profile_or_names_none(
    world: World,
) -> None:
    assert get("operation=GetCACaps", "/scep/").status_code == 200
    create_profile(world.ca, "selftest")
    EnrollmentProfile.objects.filter(slug="selftest").update(is_test=True)
    assert get("operation=GetCACaps", "/scep/").status_code == 200
    create_profile(world.ca, "phones")
    for path in WITHOUT_SLUG:
        answer = get("operation=GetCACaps", path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/plain")
        assert b"/scep/PROFILE/" in answer.content
        assert b"routers" not in answer.content
        assert b"phones" not in answer.content
    EnrollmentProfile.objects.filter(slug="selftest").update(is_default=True)
    assert get("operation=GetCACaps", "/scep/").status_code == 200
    EnrollmentProfile.objects.update(is_default=False, is_test=True)
    assert get("operation=GetCACaps", "/scep/").status_code == 404


def test_only_one_profile_is_the_default_and_the_log_says_which(world: World) -> None:
    create_profile(world.ca, "phones", is_default=True)
    with pytest.raises(ProfileInvalid, match="Another profile is the default already"):
        create_profile(world.ca, "printers", is_default=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        EnrollmentProfile.objects.update(is_default=True)
    assert (
        AuditEntry.objects.get(event=Event.PROFILE_CREATE, subject_id="phones").data["is_default"]
        is True
    )


def test_the_other_addresses_are_pages_and_no_machine_doors(world: World) -> None:
    for path in (
        "/certsrv/mscep_admin/",
        "/certsrv/",
        "/cgi-bin/",
        "/scepx/",
        "/admin/certsrv/mscep/mscep.dll",
    ):
        assert get("operation=GetCACaps", path, HTTP_HOST="evil.example").status_code == 400, path


# ---------------------------------------------------------------------------------- methods, bodies


def test_only_get_head_and_post_are_answered_and_each_operation_names_its_methods(
    world: World,
) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"):
        answer = get("operation=GetCACaps", method=method)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
    for operation in ("GetCACaps", "GetCACert", "GetNextCACert"):
        wrong = Client().generic("POST", f"{URL}?operation={operation}", b"x", "text/plain")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, HEAD")
    assert (
        Client().generic("POST", f"{URL}?operation=decode", b"x", "text/plain").status_code == 400
    )


def test_a_head_request_enrolls_no_device(world: World) -> None:
    text = quote(base64.b64encode(message(world, csr())).decode(), safe="")
    with nothing_granted():
        head = get(f"operation=PKIOperation&message={text}", method="HEAD")
    assert (head.status_code, head.headers["Allow"], head.content) == (405, "GET, POST", b"")
    assert AuditEntry.objects.filter(event="message:refuse").count() == 0
    assert get_message(text).status is PKIStatus.PENDING


def test_a_post_is_a_message_with_or_without_operation_and_whatever_its_type(world: World) -> None:
    types = (
        "",
        "application/x-pki-message",
        "application/octet-stream",
        "text/plain; charset=utf-16",
        "nonsense",
    )
    for query in ("?operation=PKIOperation", ""):
        for content_type in types:
            answer = read(
                Client().generic("POST", URL + query, message(world, csr()), content_type)
            )
            assert (answer.http, answer.status) == (200, PKIStatus.PENDING), content_type


def test_answers_have_exact_types_a_length_no_cookie_and_are_not_kept(world: World) -> None:
    officer = signed_in(world.alice)
    answer = officer.generic("POST", f"{URL}?operation=PKIOperation", message(world, csr()), "")
    assert answer.headers["Content-Type"] == "application/x-pki-message"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert not answer.cookies
    for absent in ("Content-Encoding", "Transfer-Encoding", "Set-Cookie", "Vary", "Location"):
        assert absent not in answer.headers
    compressed = get("operation=GetCACert", HTTP_ACCEPT_ENCODING="gzip, br")
    assert "Content-Encoding" not in compressed.headers


@pytest.mark.parametrize(
    ("status", "environment"),
    [
        (413, {"CONTENT_LENGTH": "65537"}),
        (413, {"CONTENT_LENGTH": "9" * 30}),
        (413, {"CONTENT_LENGTH": "9" * 5000}),
        (411, {"CONTENT_LENGTH": "-1"}),
        (411, {"CONTENT_LENGTH": "1e3"}),
        (411, {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}),
        (415, {"HTTP_CONTENT_ENCODING": "gzip"}),
        (400, {"CONTENT_LENGTH": "0"}),
    ],
)
def test_d39_a_body_that_cannot_be_a_message_is_refused(
    world: World, status: int, environment: dict[str, str]
) -> None:
    with nothing_granted():
        assert post(message(world, csr()), **environment).http == status


def test_d39_a_get_with_an_odd_content_length_is_refused_and_never_a_fault(world: World) -> None:
    for length, status in {"-1": 411, "x": 411, "1e3": 411, "9" * 5000: 413, "0": 200}.items():
        assert get("operation=GetCACaps", CONTENT_LENGTH=length).status_code == status


def test_d39_a_query_of_a_megabyte_is_414(world: World) -> None:
    assert get("operation=PKIOperation&message=" + "A" * 1_000_000).status_code == 414


def test_d39_a_message_by_get_is_no_larger_than_one_by_post_and_not_kept(world: World) -> None:
    for size, status in ((65_536, 400), (65_537, 413), (190_000, 413)):
        text = base64.b64encode(b"\x30" * size).decode()
        assert get(f"operation=PKIOperation&message={text}").status_code == status
    assert [len(exchange.message) for exchange in Exchange.objects.all()] == [65_536]


class Gone:
    """A message of a client that has disconnected."""

    def read(self, *_: object) -> bytes:
        raise OSError("connection reset")

    readline = read


def test_d39_a_client_that_goes_away_in_the_middle_of_its_message_is_not_our_fault(
    world: World,
) -> None:
    with nothing_granted(), mock.patch("django.test.client.FakePayload", return_value=Gone()):
        assert post(b"x" * 100).http == 400


def test_d39_scep_answers_whatever_the_host_and_without_one(world: World, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["portal.example"]
    for host in (
        {},
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": "a b"},
        {"HTTP_HOST": "[::1"},
        {"HTTP_HOST": "x" * 300},
    ):
        environment = {"SERVER_PROTOCOL": "HTTP/1.0", "SERVER_NAME": "nowhere", **host}
        assert get("operation=GetCACaps", **environment).status_code == 200
        assert post(message(world, csr()), **environment).status is PKIStatus.PENDING


def test_cve_2010_3868_no_parameter_makes_the_server_show_what_is_inside(world: World) -> None:
    sent = message(world, csr())
    for extra in ("decode=true", "debug=1", "xml=true", "operation2=decode"):
        answer = Client().generic("POST", f"{URL}?operation=PKIOperation&{extra}", sent, "")
        assert answer.headers["Content-Type"] == "application/x-pki-message"
        assert csr() not in answer.content


# ------------------------------------------------------------------------------ messages in a query


def escaped(text: str) -> str:
    return quote(text, safe="")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "percent-escaped": escaped,
    "raw + and / and =": lambda text: text,
    "without padding": lambda text: escaped(text.rstrip("=")),
    "plus as space": lambda text: text.replace("+", "%20").replace("/", "%2F"),
    "lines with %0A": lambda text: (
        "%0A".join(escaped(text[i : i + 64]) for i in range(0, len(text), 64)) + "%0A"
    ),
    "lines with CR LF": lambda text: "%0D%0A".join(
        escaped(text[i : i + 76]) for i in range(0, len(text), 76)
    ),
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "lower-case escapes": lambda text: escaped(text).replace("%2B", "%2b").replace("%2F", "%2f"),
}


def test_a1_5_every_spelling_of_base64_in_a_query_is_read(world: World) -> None:
    text = base64.b64encode(message(world, csr())).decode()
    assert {"+", "/"} <= set(text)
    for name, spell in SPELLINGS.items():
        assert get_message(spell(text)).status is PKIStatus.PENDING, name


def test_a1_5_the_order_of_parameters_and_unknown_ones_do_not_matter(world: World) -> None:
    text = escaped(base64.b64encode(message(world, csr())).decode())
    for query in (
        f"message={text}&operation=PKIOperation",
        f"x=1&operation=PKIOperation&message={text}&y",
    ):
        assert read(get(query)).status is PKIStatus.PENDING


def test_d40_what_is_no_base64_or_no_message_is_400(world: World) -> None:
    good = escaped(base64.b64encode(message(world, csr())).decode())
    with nothing_granted():
        for spelling in (
            "%2500",
            "%00",
            "%252B",
            "=",
            "A",
            "AAAAA",
            "%FF%FF",
            "é",
            "{}",
            "MII A=A",
        ):
            assert get_message(spelling).http == 400, spelling
        for character in ("!", "%00", "é", "*"):
            assert get_message(character + good).http == 400, (
                f"{character} before what would be a message"
            )
    assert get_message(good).status is PKIStatus.PENDING


def test_a1_6_a_long_query_reaches_us_whole(world: World) -> None:
    """RSA-4096 with a chain of signer certificates makes about 10 kB."""
    chain = [ra_certificate(world.ca)] * 6
    sent = message(world, csr(), certificates=[identity("alice").certificate_der, *chain])
    text = escaped(base64.b64encode(sent).decode())
    assert len(text) > 8192
    assert get_message(text).status is PKIStatus.PENDING


# -------------------------------------------------------------------- our own faults are no refusal


@contextmanager
def broken_at(number: int, error: Exception) -> Iterator[list[str]]:
    """Let the database fail at the n-th statement; yields the statements so far."""
    statements: list[str] = []

    def execute(run: Callable[..., Any], sql: str, *rest: Any) -> Any:
        statements.append(sql)
        if len(statements) == number + 1:
            raise error
        return run(sql, *rest)

    with connection.execute_wrapper(execute):
        yield statements


def test_a_fault_of_the_database_at_any_statement_is_503_and_leaves_nothing(world: World) -> None:
    sent = message(world, csr())
    for number in range(60):
        before = AuditEntry.objects.count()
        afterwards = (
            mock.patch.object(polls.PollCounter, "_write"),
            mock.patch.object(ExchangeRecorder, "_read_switches"),
        )
        with nothing_granted(), transaction.atomic(), afterwards[0], afterwards[1]:
            with broken_at(number, OperationalError("the disk is on fire")) as statements:
                answer = post(sent)
            transaction.set_rollback(len(statements) <= number)
        if len(statements) <= number:
            break
        assert (answer.http, answer.status, answer.body) == (
            503,
            None,
            b"internal fault, try again\n",
        ), statements[-1]
        assert int(answer.headers["Retry-After"]) > 0
        assert AuditEntry.objects.count() == before
        forget_caches()
    assert answer.status is PKIStatus.PENDING
    assert number > 5


def test_a_poll_that_cannot_be_counted_is_answered_all_the_same(world: World) -> None:
    sent, poll = message(world, csr()), message(world, message_type="20")
    post(sent)
    locked = OperationalError("database is locked")
    at_once = mock.patch.object(polls._counter, "_seconds", -1.0)
    with at_once, mock.patch.object(polls.PollCounter, "_write", side_effect=locked) as write:
        assert post(poll).status is PKIStatus.PENDING
    assert write.call_count == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("gone"), 503),
        (InterfaceError("the connection is closed"), 503),
        (DatabaseError("odd"), 500),
        (KeyStoreError("key ra: not readable"), 500),
        (RaNotReady("not yet"), 503),
    ],
)
def test_a_fault_of_the_portal_is_never_a_failure_and_has_no_detail(
    world: World, error: Exception, status: int
) -> None:
    for target in ("scep.service.handle_pki_operation", "scep.views.authority.ca_certificates"):
        with mock.patch(target, side_effect=error):
            answer = post(b"x") if "pki" in target else read(get("operation=GetCACert"))
        assert (answer.http, answer.headers["Content-Type"]) == (status, "text/plain")
        assert int(answer.headers["Retry-After"]) > 0
        assert str(error).encode() not in answer.body


def test_before_the_ra_certificate_is_there_devices_are_asked_to_come_again(world: World) -> None:
    ServiceKey.objects.update(certificate=None)
    forget_caches()
    for answer in (read(get("operation=GetCACert")), post(b"x")):
        assert (answer.http, answer.headers["Retry-After"]) == (503, "30")
    assert get("operation=GetCACaps").status_code == 200


def test_while_a_profile_or_its_authority_is_paused_devices_get_pending(world: World) -> None:
    EnrollmentProfile.objects.update(paused_at=now())
    CertificateAuthority.objects.update(paused_at=now())
    sent, poll = message(world, csr()), message(world, message_type="20")
    assert (post(sent).status, post(poll).status) == (PKIStatus.PENDING, PKIStatus.PENDING)
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == []
    assert (post(sent).status, post(poll).status) == (PKIStatus.PENDING, PKIStatus.PENDING)
    EnrollmentProfile.objects.update(paused_at=None)
    CertificateAuthority.objects.update(paused_at=None)
    assert run_worker().issued == [request.pk]
    assert post(poll).status is PKIStatus.SUCCESS
