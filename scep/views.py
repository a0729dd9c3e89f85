"""SCEP over HTTP (RFC 8894 §4): exact content types, no cookies, no redirects.

The status is 200 for everything that a CertRep can express.
"""

import structlog
from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone

from accounts.network.addresses import client_address
from approvals.enrollment.look_up import profiles
from approvals.models.profiles import EnrollmentProfile
from ca.models.authorities import CertificatesShape
from database.availability import is_unavailable
from keys.errors import KeyStoreError
from scep import faults, recording
from scep.errors import UNANSWERABLE, TryLater
from scep.operations import authority
from scep.operations.context import MessageContext
from scep.protocol.errors import Malformed
from scep.query import QueryInvalid, ScepQuery, decode_message, parse_query
from scep.ra.keys import RaNotReady, ensure_ra_key

CA_CERTIFICATES = "application/x-x509-ca-ra-cert"
NEXT_CA_CERTIFICATES = "application/x-x509-next-ca-cert"
PKI_MESSAGE = "application/x-pki-message"
RETRY_SECONDS = "30"
NO_DEFAULT = (
    "this address has no enrollment profile of its own: use /scep/PROFILE/ with the name of yours"
)

_log = structlog.get_logger(__name__)


def scep(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Answer any SCEP operation on a profile's address, or on the default profile's."""
    if request.method not in ("GET", "HEAD", "POST"):
        return _plain(405, "use GET or POST", Allow="GET, HEAD, POST")
    try:
        query = parse_query(request.META.get("QUERY_STRING", ""))
        profile = profiles.get(slug) if slug else profiles.default()
        if profile is None:
            return _plain(404, "no such enrollment profile" if slug else NO_DEFAULT)
        return _operate(request, query, profile)
    except UNANSWERABLE as error:
        return _plain(400, str(error))
    except UnreadablePostError:
        return _plain(400, "the message did not arrive")
    except RaNotReady as error:
        _log.error("scep.not_ready", profile=slug, fault=str(error))
        return _plain(503, "not ready, try again", **{"Retry-After": RETRY_SECONDS})
    except (Error, KeyStoreError) as error:
        _log.error("scep.fault", profile=slug, fault=f"{type(error).__name__}: {error}")
        return _fault(503 if is_unavailable(error) else 500)
    except Exception as error:  # noqa: BLE001 - the outermost door: unexpected errors are counted, and answered without detail
        sent = getattr(request, "_body", b"") or request.META.get("QUERY_STRING", "").encode(
            "utf-8", "replace"
        )
        faults.count(error, sent, slug=slug, address=client_address(request), now=timezone.now())
        return _fault(500)


def _operate(request: HttpRequest, query: ScepQuery, profile: EnrollmentProfile) -> HttpResponse:
    try:
        return _answer(request, query, profile)
    except RaNotReady:
        # The CA was made by a user who may not make RA keys, or the profile wants another kind of
        # them now.
        is_split = CertificatesShape(profile.ca_certificates).is_split
        ensure_ra_key(profile.ca, now=timezone.now(), is_split=is_split)
        raise


def _answer(request: HttpRequest, query: ScepQuery, profile: EnrollmentProfile) -> HttpResponse:
    if query.operation in ("", "PKIOperation"):
        return _pki_operation(request, query, profile)
    if request.method == "POST":
        return _plain(405, "use GET for this operation", Allow="GET, HEAD")
    match query.operation:
        case "GetCACaps":
            return HttpResponse(authority.ca_capabilities(profile), content_type="text/plain")
        case "GetNextCACert":
            answer = authority.next_ca_certificates(profile, now=timezone.now())
            if answer is None:
                return _plain(404, "there is no next CA")
            return HttpResponse(answer, content_type=NEXT_CA_CERTIFICATES)
        case _:
            certificates = authority.ca_certificates(profile, now=timezone.now())
            return HttpResponse(certificates, content_type=CA_CERTIFICATES)


def _pki_operation(
    request: HttpRequest, query: ScepQuery, profile: EnrollmentProfile
) -> HttpResponse:
    if (
        request.method == "HEAD"
    ):  # a safe method must not enroll, and an answer without its body is useless
        return _plain(405, "use GET or POST for this operation", Allow="GET, POST")
    if request.method == "POST":
        message = request.body
    elif query.operation and query.message is not None:
        message = decode_message(query.message)
    else:
        raise QueryInvalid("operation is missing" if not query.operation else "message is missing")
    if not message:
        raise Malformed("the message is empty")
    if len(message) > settings.PORTAL_SCEP_MAX_BYTES:  # by GET; the body was not read
        return _plain(413, f"a message has at most {settings.PORTAL_SCEP_MAX_BYTES} bytes")
    context = MessageContext(
        profile=profile,
        address=client_address(request),
        client=request.META.get("HTTP_USER_AGENT", ""),
        now=timezone.now(),
    )
    try:
        answer = recording.handle_pki_operation(message, context, method=request.method or "")
    except TryLater as busy:  # one text per cause: the audit log names the limit
        return _plain(503, "busy, try again later", **{"Retry-After": str(busy.seconds)})
    return HttpResponse(answer, content_type=PKI_MESSAGE, headers={"Cache-Control": "no-store"})


def _fault(status: int) -> HttpResponse:
    return _plain(status, "internal fault, try again", **{"Retry-After": RETRY_SECONDS})


def _plain(status: int, text: str, **headers: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=status, content_type="text/plain", headers=headers)
