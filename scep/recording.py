"""Answer a message, and keep both where there is a reason to (`exchanges.storage`)."""

import time
from contextlib import suppress
from typing import Any, Final

from ca.x509.asn1 import PRINTABLE_STRING, Asn1Error, der, der_sequence, der_set
from ca.x509.bounds import prescan_prefix
from ca.x509.names import NameMalformed, decode_name
from exchanges.storage import keeper
from scep import service
from scep.errors import TryLater
from scep.operations.exchange import Exchange
from scep.protocol.constants import (
    ATTR_FAIL_INFO,
    ATTR_FAIL_INFO_TEXT,
    ATTR_MESSAGE_TYPE,
    ATTR_PKI_STATUS,
    ATTR_TRANSACTION_ID,
    PKIStatus,
)
from scep.protocol.errors import Malformed
from scep.protocol.signed_data import find_signer, read_signed_data, read_signer_info

#: Stands in each FAILURE of ours. A nonce can hold it too, so it only says where a closer look is
#: worth while.
_FAILURE: Final = der_sequence(
    ATTR_PKI_STATUS, der_set(der(PRINTABLE_STRING, b"%d" % PKIStatus.FAILURE))
)


def handle_pki_operation(message: bytes, exchange: Exchange, *, method: str) -> bytes:
    """Answer as `service.handle_pki_operation` does; raises what it raises."""
    begun = time.perf_counter()
    try:
        answer = service.handle_pki_operation(message, exchange)
    except Malformed as malformed:
        _keep(
            message, b"", exchange, method=method, begun=begun, text=str(malformed), http_status=400
        )
        raise
    except TryLater as busy:
        _keep(message, b"", exchange, method=method, begun=begun, text=str(busy), http_status=503)
        raise
    _keep(message, answer, exchange, method=method, begun=begun)
    return answer


def _keep(
    message: bytes,
    answer: bytes,
    exchange: Exchange,
    *,
    begun: float,
    http_status: int = 200,
    **facts: Any,
) -> None:
    took = time.perf_counter() - begun
    said = _facts(answer) if _FAILURE in answer else {}
    is_refused = http_status != 200 or said.get("pki_status") == PKIStatus.FAILURE
    reason = keeper.reason(exchange.profile, now=exchange.now, is_refused=is_refused)
    if reason is None:
        return
    asked, notes = _facts(message), exchange.notes
    said = {"text": ""} | (said or _facts(answer)) | facts
    keeper.keep(
        exchange.profile,
        reason,
        received_at=exchange.now,
        took_us=round(took * 1e6),
        address=exchange.address,
        client=exchange.client.replace("\x00", "")[:200],
        message=message,
        answer=answer,
        http_status=http_status,
        transaction_id=asked.get("transaction_id", ""),
        signer_spki_sha256=asked.get("signer", ""),
        message_type=asked.get("message_type"),
        pki_status=said.get("pki_status"),
        fail_info=said.get("fail_info"),
        text=said["text"][:300],
        subject=_storable(notes.subject or asked.get("subject", ""))[:300],
        cause=notes.cause[:100],
        detail=_storable(notes.detail)[:500],
        number=notes.number,
        method=said["method"],
    )


def _facts(der_bytes: bytes) -> dict[str, Any]:
    """What a list of messages shows, as far as it can be read."""
    found: dict[str, Any] = {}
    with suppress(Asn1Error, NameMalformed, IndexError):
        end = prescan_prefix(der_bytes)
        signed = read_signed_data(der_bytes[:end])
        signer = read_signer_info(signed.signer_infos[0])
        for name, oid in (("transaction_id", ATTR_TRANSACTION_ID), ("text", ATTR_FAIL_INFO_TEXT)):
            tlv = signer.single(oid)
            found[name] = _storable(tlv.value) if tlv is not None else ""
        numbers = (
            ("message_type", ATTR_MESSAGE_TYPE),
            ("pki_status", ATTR_PKI_STATUS),
            ("fail_info", ATTR_FAIL_INFO),
        )
        for name, oid in numbers:
            tlv = signer.single(oid)
            found[name] = _number(tlv.value) if tlv is not None else None
        certificate = find_signer(signed, signer)
        found["signer"] = certificate.spki_sha256.hex() if certificate else ""
        found["subject"] = str(decode_name(certificate.subject_der)) if certificate else ""
    return found


def _storable(value: bytes | str) -> str:
    """Text that a database column takes."""
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")[:255]
    return text.replace("\x00", "")


def _number(value: bytes) -> int | None:
    return int(value) if 0 < len(value) <= 3 and value.isdigit() else None
