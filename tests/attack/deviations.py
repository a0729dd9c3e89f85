"""All deviations in a table: the flag, its description, and its change of the message.

`Draft` is a good PKCSReq. A deviation takes it and the value of its flag and returns another one;
flags are applied in order.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca.x509.asn1 import der_context, der_integer, der_oid, der_sequence
from ca.x509.general_names import general_name
from ca.x509.names import build_name
from scep.protocol import constants as c
from scep.protocol.certificates import read_certificate
from tests.ca.forge import (
    challenge,
    extension,
    extension_request,
    info,
    request_der,
    san,
    signed,
    spki,
)
from tests.fuzz.mutators import mutate
from tests.pki import ec_key, rsa_key
from tests.scep import forge as f
from tests.scep.forged_parts import pkcs1_block


@dataclass(frozen=True)
class Draft:
    """A message in the making. `inside` replaces the CSR, `raw` the whole message."""

    key: Any
    message: f.Message
    common_name: str = "attack.example"
    dns_names: tuple[str, ...] = ()
    challenge: str = ""
    extensions: tuple[bytes, ...] = ()
    csr_key: Any = None
    inside: bytes | None = field(default=None, repr=False)
    break_csr: bool = False
    raw: bytes | None = field(default=None, repr=False)
    spelling: str = ""
    method: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def csr(self) -> bytes:
        """The request inside."""
        if self.inside is not None:
            return self.inside
        requested = list(self.extensions)
        if self.dns_names:
            requested.append(san(*(general_name("dns", name) for name in self.dns_names)))
        attributes = [challenge(self.challenge)] if self.challenge else []
        attributes += [extension_request(*requested)] if requested else []
        subject = build_name([("CN", self.common_name)] if self.common_name else [])
        if self.break_csr:
            return signed(info(subject.der, attributes, spki_der=spki(rsa_key("bob"))), self.key)
        return request_der(subject, *attributes, key=self.csr_key or self.key)

    def encode(self) -> bytes:
        """The message as it is sent."""
        if self.raw is not None:
            return self.raw
        message = self.message
        if message.envelope.plaintext is None:
            message = replace(message, envelope=replace(message.envelope, plaintext=self.csr()))
        return message.encode()


def draft(key: Any, ra_certificate: bytes, transaction_id: str, nonce: bytes) -> Draft:
    """A good PKCSReq for an RA, signed with a self-made certificate of an RSA key of the tests."""
    certificate = f.ec_certificate() if not isinstance(key, RSAPrivateKey) else _self_signed(key)
    envelope = f.Envelope(recipient_certificate=ra_certificate, cek=b"attack, not safe", iv=nonce)
    message = f.Message(
        key=key,
        certificate=certificate,
        envelope=envelope,
        transaction_id=transaction_id,
        sender_nonce=nonce,
    )
    return Draft(key, message)


def _self_signed(key: RSAPrivateKey) -> bytes:
    from scep.client import Identity

    return Identity.self_signed(key, "attack.example", now=f.NOW).certificate_der


def named_key(name: str) -> Any:
    """A key of the tests (alice, bob, carol-ec, device-1 …), or of a PEM file.

    Raises ValueError.
    """
    if name == "carol-ec":
        return ec_key()
    if "/" in name or name.endswith(".pem"):
        return load_pem_private_key(Path(name).read_bytes(), None)
    try:
        return rsa_key(name)
    except OSError:
        raise ValueError(
            f"key {name}: alice, bob, carol-ec, device-1 to device-8, or a PEM file"
        ) from None


# --------------------------------------------------------------------------------------- deviations

Change = Callable[[Draft, str], Draft]


@dataclass(frozen=True)
class Deviation:
    """One flag. `value` names its argument, if any; `attack` is the row of the catalogue."""

    attack: str
    text: str
    change: Change
    value: str = ""


def _message(**pieces: Any) -> Change:
    return lambda draft, _: replace(draft, message=replace(draft.message, **pieces))


def _envelope(**pieces: Any) -> Change:
    return lambda draft, _: _with_envelope(draft, **pieces)


def _with_envelope(draft: Draft, **pieces: Any) -> Draft:
    return replace(
        draft, message=replace(draft.message, envelope=replace(draft.message.envelope, **pieces))
    )


def _taking(name: str, convert: Callable[[str], Any] = str) -> Change:
    return lambda draft, value: replace(
        draft, message=replace(draft.message, **{name: convert(value)})
    )


def _extension(oid: str, value: bytes) -> Change:
    return lambda draft, _: replace(draft, extensions=(*draft.extensions, extension(oid, value)))


_STRINGS: Final = {
    "printable": 0x13,
    "utf8": 0x0C,
    "ia5": 0x16,
    "bmp": 0x1E,
    "octet": 0x04,
    "integer": 0x02,
}
_CIPHERS: Final = {
    "des": "1.3.14.3.2.7",
    "3des": "1.2.840.113549.3.7",
    "rc2": "1.2.840.113549.3.2",
    "rc4": "1.2.840.113549.3.4",
    "aes-128-gcm": "2.16.840.1.101.3.4.1.6",
    "unknown": "1.2.3.4",
}


def _one_of(table: dict[str, Any], value: str) -> Any:
    if value not in table:
        raise ValueError(f"{value}: one of {', '.join(table)}")
    return table[value]


def _string_type(draft: Draft, value: str) -> Draft:
    tag = _one_of(_STRINGS, value)
    message_type = str(draft.message.message_type)
    without = draft.message.without | {c.ATTR_MESSAGE_TYPE}
    odd = (*draft.message.extra_attributes, f.message_type(message_type, tag))
    return replace(
        draft,
        message=replace(
            draft.message, without=without, extra_attributes=odd, transaction_id_tag=tag
        ),
    )


def _cipher(draft: Draft, value: str) -> Draft:
    return _with_envelope(draft, cipher_oid=der_oid(_one_of(_CIPHERS, value)))


def _sign_with(draft: Draft, value: str) -> Draft:
    key = named_key(value)
    certificate = _self_signed(key) if isinstance(key, RSAPrivateKey) else f.ec_certificate()
    return replace(draft, message=replace(draft.message, key=key, certificate=certificate))


def _extra_signer(draft: Draft, _: str) -> Draft:
    fixed = replace(draft.message, envelope=replace(draft.message.envelope, plaintext=draft.csr()))
    content = fixed.signed_content()
    other = f.Message(
        key=rsa_key("bob"), certificate=f.identity("bob").certificate_der, transaction_id="mallory"
    )
    return replace(
        draft,
        message=replace(fixed, content=content, extra_signer_infos=[other.signer_info(content)]),
    )


def _lookalike(draft: Draft, _: str) -> Draft:
    return replace(
        draft, message=replace(draft.message, certificates=[f.identity("bob").certificate_der])
    )


def _no(oid: bytes) -> Change:
    return lambda draft, _: replace(
        draft, message=replace(draft.message, without=draft.message.without | {oid})
    )


def _mutated(draft: Draft, value: str) -> Draft:
    good = draft.encode()
    return replace(draft, raw=mutate(Random(int(value)), good, (good, f.csr())))  # noqa: S311 - repeatable


def _serial_query(draft: Draft, _: str) -> Draft:
    read = read_certificate(draft.message.envelope.recipient_certificate)
    return replace(draft, inside=der_sequence(read.issuer_der, read.serial_der))


DEVIATIONS: Final[dict[str, Deviation]] = {
    "message-type": Deviation(
        "D-37", "another messageType, 18 for one", _taking("message_type"), "N"
    ),
    "transaction-id": Deviation("D-27", "another transactionID", _taking("transaction_id"), "TEXT"),
    "sender-nonce": Deviation(
        "D-33", "another senderNonce", _taking("sender_nonce", bytes.fromhex), "HEX"
    ),
    "no-sender-nonce": Deviation("D-33", "no senderNonce", _no(c.ATTR_SENDER_NONCE)),
    "no-transaction-id": Deviation("D-33", "no transactionID", _no(c.ATTR_TRANSACTION_ID)),
    "no-message-type": Deviation("D-33", "no messageType", _no(c.ATTR_MESSAGE_TYPE)),
    "no-message-digest": Deviation("D-11", "no messageDigest", _no(c.ATTR_MESSAGE_DIGEST)),
    "no-content-type": Deviation("D-11", "no contentType attribute", _no(c.ATTR_CONTENT_TYPE)),
    "string-type": Deviation(
        "D-33", f"messageType and transactionID as {', '.join(_STRINGS)}", _string_type, "NAME"
    ),
    "unsorted": Deviation(
        "A4", "signed attributes in another order than DER's", _message(sort_attributes=False)
    ),
    "tamper-signature": Deviation(
        "D-11", "a bit of the signature flipped", _message(tamper_signature=True)
    ),
    "no-signed-attributes": Deviation(
        "D-11", "signed directly over the content", _message(no_signed_attributes=True)
    ),
    "wrong-digest": Deviation(
        "D-11", "messageDigest of something else", _message(message_digest=bytes(32))
    ),
    "digest": Deviation(
        "D-34", "digest and signature with md5, sha1, sha224 …", _taking("digest"), "NAME"
    ),
    "pss": Deviation(
        "D-34", "RSASSA-PSS with a salt of so many bytes", _taking("pss_salt", int), "BYTES"
    ),
    "sign-with": Deviation("D-9", "signed with another key, the CSR's stays", _sign_with, "KEY"),
    "extra-signer": Deviation("D-32", "a second SignerInfo, of mallory", _extra_signer),
    "other-certificate": Deviation(
        "D-32", "another client's certificate in the message", _lookalike
    ),
    "no-certificate": Deviation("D-32", "no certificate in the message", _message(certificates=[])),
    "detached": Deviation("D-32", "eContent absent", _message(omit_content=True)),
    "ber": Deviation(
        "D-19",
        "indefinite lengths, strings in pieces",
        _message(indefinite=True, indefinite_attributes=True),
    ),
    "trailing": Deviation(
        "D-19", "bytes after the message", _taking("trailing", bytes.fromhex), "HEX"
    ),
    "outer-type": Deviation(
        "D-20", "another content type around everything", _taking("outer_type", der_oid), "OID"
    ),
    "deep": Deviation(
        "D-19",
        "an attribute of so many nested values",
        lambda made, value: replace(
            made,
            message=replace(
                made.message, extra_attributes=[f.attribute(der_oid("1.2.3"), f.nested(int(value)))]
            ),
        ),
        "LEVELS",
    ),
    "cipher": Deviation(
        "D-35", f"content encryption {', '.join(_CIPHERS)} by name", _cipher, "NAME"
    ),
    "oaep": Deviation(
        "A6",
        "key transport RSAES-OAEP with this hash",
        lambda m, v: _with_envelope(m, oaep_hash=v),
        "HASH",
    ),
    "bad-padding": Deviation(
        "D-7",
        "PKCS #1 padding of type 1",
        _envelope(wrapped_cek=pkcs1_block(b"k" * 16, start=b"\x00\x01")),
    ),
    "short-key": Deviation(
        "D-7", "a content key of 15 bytes", _envelope(wrapped_cek=pkcs1_block(b"k" * 15))
    ),
    "random-key": Deviation(
        "D-7", "an encrypted key of junk", _envelope(encrypted_cek=b"\x17" * 256)
    ),
    "bad-content": Deviation(
        "D-7", "junk inside, padded right", lambda m, _: replace(m, inside=b"junk")
    ),
    "recipients": Deviation(
        "D-8", "so many RecipientInfos", lambda m, v: _with_envelope(m, copies=int(v)), "N"
    ),
    "foreign-recipient": Deviation(
        "D-8",
        "two RecipientInfos for others",
        _envelope(copies=2, rid=der_sequence(der_sequence(), der_integer(9))),
    ),
    "envelope-type": Deviation(
        "D-20",
        "another type of envelope",
        lambda m, v: _with_envelope(m, envelope_type=der_oid(v)),
        "OID",
    ),
    "csr-name": Deviation("D-16", "common name", lambda m, v: replace(m, common_name=v), "CN"),
    "csr-dns": Deviation(
        "D-13",
        "a DNS name, again for another",
        lambda m, v: replace(m, dns_names=(*m.dns_names, v)),
        "NAME",
    ),
    "csr-key": Deviation(
        "D-10", "the CSR of another key", lambda m, v: replace(m, csr_key=named_key(v)), "KEY"
    ),
    "csr-broken": Deviation(
        "D-10",
        "bob's key claimed in a CSR that he did not sign",
        lambda m, _: replace(m, break_csr=True),
    ),
    "csr-file": Deviation(
        "D-16",
        "a CSR as DER from a file",
        lambda m, v: replace(m, inside=Path(v).read_bytes()),
        "FILE",
    ),
    "csr-ca": Deviation(
        "D-12", "asks for CA:TRUE", _extension("2.5.29.19", b"\x30\x03\x01\x01\xff")
    ),
    "csr-any-purpose": Deviation(
        "D-15",
        "asks for anyExtendedKeyUsage",
        _extension("2.5.29.37", der_sequence(der_oid("2.5.29.37.0"))),
    ),
    "csr-sid": Deviation(
        "D-14",
        "asks for an Active Directory SID",
        _extension("1.3.6.1.4.1.311.25.2", der_sequence(der_context(0))),
    ),
    "challenge": Deviation(
        "D-1", "challengePassword", lambda m, v: replace(m, challenge=v), "TEXT"
    ),
    "serial-inside": Deviation("D-36", "IssuerAndSerialNumber where a CSR belongs", _serial_query),
    "raw-get": Deviation(
        "D-40",
        "by GET: escaped, raw, url-safe, unpadded, lines, double",
        lambda m, v: replace(m, spelling=v),
        "SPELLING",
    ),
    "method": Deviation("D-39", "another HTTP method", lambda m, v: replace(m, method=v), "METHOD"),
    "header": Deviation(
        "D-39",
        "an HTTP header, as Content-Encoding:gzip",
        lambda m, v: replace(m, headers=(*m.headers, _header(v))),
        "NAME:VALUE",
    ),
    "mutate": Deviation(
        "D-19", "a mutation of the whole message, by its number", _mutated, "NUMBER"
    ),
    "raw": Deviation(
        "D-30",
        "these bytes from a file and nothing else",
        lambda m, v: replace(m, raw=Path(v).read_bytes()),
        "FILE",
    ),
}


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f"header {text}: NAME:VALUE is needed")
    return name, value.strip()


def apply(draft: Draft, flags: list[tuple[str, str]]) -> Draft:
    """Apply deviations in their order. Raises ValueError naming the flag."""
    for name, value in flags:
        try:
            draft = DEVIATIONS[name].change(draft, value)
        except (ValueError, OSError) as error:
            raise ValueError(f"--{name}: {error}") from error
    return draft


SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "escaped": lambda text: quote(text, safe=""),
    "raw": lambda text: text,
    "url-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "unpadded": lambda text: quote(text.rstrip("="), safe=""),
    "lines": lambda text: "%0A".join(
        quote(text[at : at + 64], safe="") for at in range(0, len(text), 64)
    ),
    "double": lambda text: quote(quote(text, safe=""), safe=""),
}


def query(draft: Draft) -> str:
    """The query of the request: the message is in it where it goes by GET. Raises ValueError."""
    if not draft.spelling:
        return "operation=PKIOperation"
    text = base64.b64encode(draft.encode()).decode()
    return f"operation=PKIOperation&message={_one_of(SPELLINGS, draft.spelling)(text)}"


__all__ = ["DEVIATIONS", "SPELLINGS", "Deviation", "Draft", "apply", "draft", "named_key", "query"]
