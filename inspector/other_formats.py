"""What people paste that is no SCEP message: PKCS #12, PKCS #8, OCSP answers, time-stamps.

asn1crypto reads them; `prescan` bounds each layer before (ADR 8). Nothing is decrypted or verified,
and of keys only kind and size are shown.

PURE; never raises for bad bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from asn1crypto import cms, core, keys, ocsp, pkcs12, tsp, x509

from ca.content.second_reader import (
    CONSTRUCTED,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    UNREADABLE,
    NotReadable,
    expect,
    members,
    read,
)
from inspector.messages import name_of
from inspector.report import Row, Section, Tone

_ENUMERATED: Final = 0x0A
_CONTEXT_0: Final = 0xA0
_OBJECT_IDENTIFIER: Final = 0x06
_MAX_ROWS: Final = 20
_MAX_TEXT: Final = 300
_NOT_VERIFIED: Final = "Read, not verified: its signature is not looked at."
_DISCLOSED: Final = (
    "A private key that no passphrase protects. Nothing of it is stored or shown here, but it has "
    "left its place: make a new one."
)
_DERIVATIONS: Final = {"1.3.6.1.4.1.11591.4.11": "scrypt"}
_BAGS: Final = {
    "key_bag": "private keys without a passphrase",
    "pkcs8_shrouded_key_bag": "private keys under a passphrase",
    "cert_bag": "certificates",
    "crl_bag": "CRLs",
    "secret_bag": "secrets",
    "safe_contents": "nested contents",
}


def section_of(data: bytes) -> tuple[str, Section] | None:
    """What the bytes are and their main fields, or None where they are none of these formats."""
    try:
        reader = _FORMATS.get(tuple(member.tag for member in members(read(data))))
        return reader(data) if reader else None
    except UNREADABLE:
        return None


# ------------------------------------------------------------------------------------ keys and bags


def _pkcs12(data: bytes) -> tuple[str, Section]:
    pfx = pkcs12.Pfx.load(data, strict=True)
    rows = [Row("version", str(pfx["version"].native)), Row("integrity", _integrity(pfx))]
    counted: Counter[str] = Counter()
    for part in _bounded(pkcs12.AuthenticatedSafe, bytes(pfx["auth_safe"]["content"])):
        if part["content_type"].native != "data":
            encrypted = part["content"]["encrypted_content_info"]
            algorithm = encrypted["content_encryption_algorithm"]
            rows.append(Row("encrypted part", _encryption(algorithm)))
            continue
        for bag in _bounded(pkcs12.SafeContents, bytes(part["content"])):
            counted[bag["bag_id"].native] += 1
            rows += _bag_rows(bag)
    rows += [Row(_BAGS.get(kind, kind), str(count)) for kind, count in counted.items()]
    is_open = bool(counted["key_bag"])
    verdict = _DISCLOSED if is_open else "What is under a passphrase stays closed."
    return "PKCS #12 file", _section("PKCS #12", rows, verdict, "bad" if is_open else "")


def _bag_rows(bag: pkcs12.SafeBag) -> list[Row]:
    """Return the facts of one bag after its number."""
    if bag["bag_id"].native == "pkcs8_shrouded_key_bag":
        return [Row("private key", _encryption(bag["bag_value"]["encryption_algorithm"]))]
    if bag["bag_id"].native == "cert_bag":
        certificate = _bounded(x509.Certificate, _octets(bag.dump(), 1, 0, 1, 0))
        return [Row("certificate", _name(certificate["tbs_certificate"]["subject"]))]
    return []


def _integrity(pfx: pkcs12.Pfx) -> str:
    mac = pfx["mac_data"]
    if _is_absent(mac):
        return "none"
    digest = mac["mac"]["digest_algorithm"]["algorithm"].native
    return f"MAC with {digest.upper()}, {mac['iterations'].native} rounds"


def _private_key(data: bytes) -> tuple[str, Section]:
    key = keys.PrivateKeyInfo.load(data, strict=True)
    read(_octets(data, 2))
    rows = [Row("algorithm", _key_kind(key))]
    return "private key (PKCS #8)", _section("PKCS #8", rows, _DISCLOSED, "bad")


def _key_kind(key: keys.PrivateKeyInfo) -> str:
    algorithm: str = key["private_key_algorithm"]["algorithm"].native
    if algorithm == "ec":
        return f"EC {key['private_key_algorithm']['parameters'].chosen.native}"
    return f"RSA {key.bit_size}" if algorithm == "rsa" else algorithm


def _encrypted_key(data: bytes) -> tuple[str, Section]:
    key = keys.EncryptedPrivateKeyInfo.load(data, strict=True)
    rows = [
        Row("encryption", _encryption(key["encryption_algorithm"])),
        Row("encrypted", f"{len(key['encrypted_data'].native)} bytes"),
    ]
    verdict = "A private key under a passphrase; it stays closed."
    return "encrypted private key (PKCS #8)", _section("PKCS #8", rows, verdict)


def _encryption(algorithm: Any) -> str:
    """Cipher and key derivation of an EncryptionAlgorithm."""
    name = algorithm["algorithm"].native
    if name != "pbes2":
        return f"{name}, {algorithm.kdf_iterations} rounds"
    scheme = algorithm["parameters"]["encryption_scheme"]["algorithm"].native
    cipher = scheme.upper().replace("_", "-")
    if algorithm.kdf != "pbkdf2":
        return f"{cipher}, {_DERIVATIONS.get(algorithm.kdf, algorithm.kdf)}"
    return f"{cipher}, PBKDF2 with {algorithm.kdf_hmac.upper()}, {algorithm.kdf_iterations} rounds"


# ----------------------------------------------------------------------------------- signed answers


def _ocsp_answer(data: bytes) -> tuple[str, Section]:
    answer = ocsp.OCSPResponse.load(data, strict=True)
    rows = [Row("responseStatus", answer["response_status"].native)]
    if _is_absent(answer["response_bytes"]):
        return "OCSP answer", _section("OCSP", rows, "The responder refused; nothing follows.")
    basic = _bounded(ocsp.BasicOCSPResponse, _octets(data, 1, 0, 1))
    response = basic["tbs_response_data"]
    rows += [
        Row("responder", _responder(response["responder_id"])),
        Row("producedAt", _moment(response["produced_at"])),
        Row("signatureAlgorithm", basic["signature_algorithm"]["algorithm"].native),
        Row("certificates", str(len(basic["certs"]))),
    ]
    for single in response["responses"]:
        number = f"{single['cert_id']['serial_number'].native:x}"
        rows.append(Row(f"serial number {number}", _status(single)))
    return "OCSP answer", _section("OCSP", rows, _NOT_VERIFIED)


def _responder(responder: ocsp.ResponderId) -> str:
    if responder.name == "by_key":
        return f"key {responder.chosen.native.hex()}"
    return _name(responder.chosen)


def _status(single: ocsp.SingleResponse) -> str:
    status = single["cert_status"]
    text = status.name
    if status.name == "revoked":
        reason = status.chosen["revocation_reason"].native or "no reason given"
        text = f"revoked at {_moment(status.chosen['revocation_time'])}, {reason}"
    until = single["next_update"]
    ends = "" if _is_absent(until) else f", until {_moment(until)}"
    return f"{text}; as of {_moment(single['this_update'])}{ends}"


def _time_stamp_answer(data: bytes) -> tuple[str, Section]:
    parts = members(read(data))
    status = tsp.PKIStatusInfo.load(parts[0].raw, strict=True)
    rows = [Row("status", status["status"].native)]
    if not _is_absent(status["status_string"]):
        rows += [Row("statusString", text) for text in status["status_string"].native]
    if not _is_absent(status["fail_info"]):
        rows.append(Row("failInfo", ", ".join(sorted(status["fail_info"].native))))
    if len(parts) == 1:
        return "time-stamp answer", _section("Time-stamp", rows, "There is no token.", "warn")
    rows += _token_rows(parts[1].raw)
    return "time-stamp answer", _section("Time-stamp", rows, _NOT_VERIFIED)


def _time_stamp(data: bytes) -> tuple[str, Section]:
    return "time-stamp token", _section("Time-stamp", _token_rows(data), _NOT_VERIFIED)


def _token_rows(data: bytes) -> list[Row]:
    signed = cms.ContentInfo.load(data, strict=True)["content"]
    if signed["encap_content_info"]["content_type"].native != "tst_info":
        raise NotReadable("content type: a TSTInfo is needed")
    token = _bounded(tsp.TSTInfo, _octets(data, 1, 0, 2, 1, 0))
    imprint = token["message_imprint"]
    rows = [
        Row("genTime", _moment(token["gen_time"])),
        Row("policy", token["policy"].dotted),
        Row("serialNumber", f"{token['serial_number'].native:x}"),
        Row("hashAlgorithm", imprint["hash_algorithm"]["algorithm"].native.upper()),
        Row("hashedMessage", imprint["hashed_message"].native.hex(), is_code=True),
        Row("certificates", str(len(signed["certificates"]))),
    ]
    if not _is_absent(token["tsa"]) and token["tsa"].name == "directory_name":
        rows.append(Row("tsa", _name(token["tsa"].chosen)))
    return rows


# ------------------------------------------------------------------------------------------- common


def _bounded(kind: Any, data: bytes) -> Any:
    """An inner layer, within the limits of `prescan`, which does not look into octets."""
    return kind.load(read(data).raw, strict=True)


def _octets(data: bytes, *path: int) -> bytes:
    """An OCTET STRING by the places of its parents.

    By the parser, not by the schema: asn1crypto parses what is inside as soon as it is named there.
    """
    value = read(data)
    for place in path:
        value = members(value)[place]
    if value.tag & CONSTRUCTED:
        return b"".join(expect(part, OCTET_STRING).contents for part in members(value))
    return expect(value, OCTET_STRING).contents


def _is_absent(value: Any) -> bool:
    return isinstance(value, core.Void)


def _name(name: Any) -> str:
    return name_of(name.untag().dump())


def _moment(value: Any) -> str:
    return f"{value.native:%Y-%m-%d %H:%M:%S} UTC"


def _section(title: str, rows: Sequence[Row], verdict: str, tone: Tone = "") -> Section:
    visible = [Row(row.name, row.value[:_MAX_TEXT], row.is_code) for row in rows[:_MAX_ROWS]]
    if len(rows) > _MAX_ROWS:
        visible.append(Row("not shown", f"{len(rows) - _MAX_ROWS} more"))
    return Section(title, tuple(visible), verdict, tone)


#: The formats by the tags of their members.
_FORMATS: Final[dict[tuple[int, ...], Callable[[bytes], tuple[str, Section]]]] = {
    (INTEGER, SEQUENCE): _pkcs12,
    (INTEGER, SEQUENCE, SEQUENCE): _pkcs12,
    (INTEGER, SEQUENCE, OCTET_STRING): _private_key,
    (INTEGER, SEQUENCE, OCTET_STRING, _CONTEXT_0): _private_key,
    (SEQUENCE, OCTET_STRING): _encrypted_key,
    (_ENUMERATED,): _ocsp_answer,
    (_ENUMERATED, _CONTEXT_0): _ocsp_answer,
    (SEQUENCE,): _time_stamp_answer,
    (SEQUENCE, SEQUENCE): _time_stamp_answer,
    (_OBJECT_IDENTIFIER, _CONTEXT_0): _time_stamp,
}
