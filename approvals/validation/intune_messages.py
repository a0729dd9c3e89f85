"""Microsoft Intune's validation service for third-party CAs: bodies, answers, error codes.

PURE. Behaves as Microsoft's published samples (repository microsoft/Intune-Resource-Access, folder
CsrValidation).
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC
from hashlib import sha1
from typing import Final
from urllib.parse import quote, urlencode

from approvals.validation.messages import (
    Outcome,
    Question,
    ServiceAnswer,
    ServiceVerdict,
    read_object,
    text_of,
)
from outbound.errors import NoAnswer

OF: Final = "Intune"
SERVICE: Final = "ScepRequestValidationFEService"
API_VERSION: Final = "2018-02-20"
VALIDATE: Final = "ScepActions/validateRequest"
SUCCESS: Final = "ScepActions/successNotification"
FAILURE: Final = "ScepActions/failureNotification"
#: The application under which Graph lists Intune's services; equal in all tenants.
DISCOVERY: Final = "v1.0/servicePrincipals/appId=0000000a-0000-0000-c000-000000000000/endpoints"
MAX_DESCRIPTION: Final = 255
#: CERTSRV_E_ADMIN_DENIED_REQUEST of Windows: the administrator of the CA denied the request.
REFUSED_HRESULT: Final = 0x80094014

#: Intune's refusals, in words for officers. Any other code is no answer: the request waits.
REASONS: Final[Mapping[str, str]] = {
    "CertificateRequestDecodingFailed": "Intune could not read the certificate request",
    "ChallengePasswordMissing": "there is no challenge in the certificate request",
    "ChallengeDeserializationError": "the challenge is not one of Intune's",
    "ChallengeDecryptionError": "the challenge was not made for this tenant",
    "ChallengeDecodingError": "the challenge is not one of Intune's",
    "ChallengeInvalidTimestamp": "the challenge has no valid time",
    "ChallengeExpired": "the challenge has expired: the device has to sync again",
    "SubjectNameMissing": "the subject is missing",
    "SubjectNameMismatch": "the subject is not the one of the Intune profile",
    "SubjectAltNameMissing": "an alternative name is missing",
    "SubjectAltNameMismatch": "the alternative names are not those of the Intune profile",
    "KeyUsageMismatch": "the key usage is not the one of the Intune profile",
    "KeyLengthMismatch": "the key length is not the one of the Intune profile",
    "EnhancedKeyUsageMissing": "an extended key usage of the Intune profile is missing",
    "EnhancedKeyUsageMismatch": "the extended key usages are not those of the Intune profile",
    "AadKeyIdentifierListMissing": "the device has no registered key in Entra ID",
    "RegisteredKeyMismatch": "the key is not the one registered in Entra ID",
    "SigningCertThumbprintMismatch": "the challenge was signed with another certificate",
    "ScepProfileNoLongerTargetedToTheClient": (
        "the Intune profile is not assigned to this device any more"
    ),
    "SignatureValidationFailed": "the signature of the challenge is wrong",
    "BadCertificateRequestIdInChallenge": "the challenge belongs to another request",
    "BadDeviceIdInChallenge": "the challenge belongs to another device",
    "BadUserIdInChallenge": "the challenge belongs to another user",
}


def token_form(client_id: str, secret: str, scope: str) -> bytes:
    """Return the form that asks for a token with client credentials (RFC 6749 §4.4.2)."""
    return urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
            "scope": scope,
        }
    ).encode()


def token_path(tenant: str) -> str:
    """Return the path of a tenant's tokens, below the sign-in address."""
    return f"{quote(tenant, safe='')}/oauth2/v2.0/token"


def read_token(status: int, body: bytes) -> tuple[str, float]:
    """Return a token and its lifetime in seconds.

    Raises NoAnswer with the error code (RFC 6749 §5.2).
    """
    if status != 200:
        raise NoAnswer(f"{OF}: no token, HTTP {status}{_error_of(body)}")
    document = read_object(body, of=f"{OF} sign-in")
    token, seconds = document.get("access_token"), document.get("expires_in", 0)
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise NoAnswer(f"{OF}: the sign-in answered without a token")
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    return token, float(seconds) if is_number else 0.0  # type: ignore[arg-type]  # a number, as just looked


def read_service_address(status: int, body: bytes) -> str:
    """Return the address of the validation service from Graph's list.

    Raises NoAnswer if it is missing.
    """
    if status != 200:
        raise NoAnswer(
            f"{OF}: Graph does not list the services, HTTP {status}: is Application.Read.All "
            "granted?"
        )
    entries = read_object(body, of=f"{OF} discovery").get("value")
    for entry in entries if isinstance(entries, list) else []:
        if (
            isinstance(entry, dict)
            and entry.get("providerName") == SERVICE
            and isinstance(entry.get("uri"), str)
        ):
            return str(entry["uri"])
    raise NoAnswer(f"{OF}: Graph lists no {SERVICE} for this tenant: is Intune licensed there?")


def validate_body(question: Question, caller: str) -> bytes:
    """Return the question whether this challenge belongs to this certificate request."""
    return json.dumps({"request": _about(question, caller)}).encode()


def notification_body(question: Question, outcome: Outcome, caller: str) -> tuple[str, bytes]:
    """Return path and body of the report that shows a request's outcome in Intune's console."""
    if not outcome.is_issued:
        notification = {
            "hResult": REFUSED_HRESULT,
            "errorDescription": (outcome.reason or "refused")[:MAX_DESCRIPTION],
        }
        return FAILURE, json.dumps(
            {"notification": _about(question, caller) | notification}
        ).encode()
    end = (
        outcome.not_after.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        if outcome.not_after
        else ""
    )
    notification = {
        "certificateThumbprint": sha1(outcome.certificate_der, usedforsecurity=False)
        .hexdigest()
        .upper(),
        "certificateSerialNumber": outcome.serial_hex,
        "certificateExpirationDateUtc": end,
        "issuingCertificateAuthority": outcome.authority,
        "caConfiguration": outcome.authority,
        "certificateAuthority": outcome.authority,
    }
    return SUCCESS, json.dumps({"notification": _about(question, caller) | notification}).encode()


def headers(token: str, identifier: str, caller: str) -> dict[str, str]:
    """Return the headers of a call to the validation service."""
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "client-request-id": identifier,
        "api-version": API_VERSION,
        "UserAgent": caller,
    }


def read_answer(status: int, body: bytes, *, challenge: str) -> ServiceAnswer:
    """Read Intune's answer about a request or a report.

    Raises NoAnswer for an unknown code. A repeated challenge is removed from its text.
    """
    if status != 200:
        raise NoAnswer(f"{OF}: HTTP {status}")
    document = read_object(body, of=OF)
    code, description = (
        document.get("code"),
        text_of(document.get("errorDescription"), challenge=challenge),
    )
    if code == "Success":
        return ServiceAnswer(ServiceVerdict.ALLOW, code="Success")
    if isinstance(code, str) and code in REASONS:
        return ServiceAnswer(
            ServiceVerdict.DENY,
            code=code,
            reason=f"{REASONS[code]}. {description}".strip(". ") if description else REASONS[code],
        )
    raise NoAnswer(
        f"{OF}: unknown answer {text_of(code, challenge=challenge)[:64] or 'without a code'}"
    )


def _about(question: Question, caller: str) -> dict[str, object]:
    return {
        "transactionId": question.transaction_id,
        "certificateRequest": b64encode(question.csr_der).decode(),
        "callerInfo": caller,
    }


def _error_of(body: bytes) -> str:
    """Return the error code of RFC 6749; a description may hold anything and is left out."""
    try:
        code = read_object(body, of=OF).get("error")
    except NoAnswer:
        return ""
    return f" ({text_of(code)[:64]})" if text_of(code) else ""


def joined(base: str, path: str) -> str:
    """Return an address below another one."""
    return f"{base.rstrip('/')}/{path}"


def scopes(graph_url: str, api_url: str) -> Sequence[str]:
    """Return the two scopes: of Graph, and of Intune with the double slash it wants."""
    return f"{graph_url.rstrip('/')}/.default", f"{api_url.rstrip('/')}//.default"
