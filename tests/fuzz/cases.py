"""Hostile cases made of recorded and forged messages, each from its own number.

A case is a target (a reader, or the door) and bytes. `Maker.case(number)` makes it from the seed of
the run and its number; a finding is saved with its bytes all the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes

from ca.x509.asn1 import children, der_context, der_sequence, parse_exact
from ca.x509.cms import encode_degenerate
from ca.x509.general_names import general_name
from ca.x509.names import build_name
from scep.protocol import constants as c
from scep.protocol.certificates import issuer_and_serial, read_certificate
from scep.protocol.signed_data import encode_signed_data
from tests.ca.forge import challenge, extension, extension_request, request_der, san, signed
from tests.fuzz.mutators import mutate
from tests.pki import FOLDER, RaKeys, certificate_der, ec_key
from tests.scep import forge as f

VECTORS: Final = FOLDER.parent / "vectors"
READERS: Final = (
    "message",
    "request",
    "certificate",
    "name",
    "query",
    "query for a certificate",
    "answer",
    "published",
)
DOOR: Final = "door"
SLUGS: Final = ("routers", "phones", "printers", "automatic", "strict", "unknown")


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes for a target. At the door: a body by POST if `query` is empty, else a GET."""

    target: str
    data: bytes = field(repr=False)
    method: str = "POST"
    slug: str = "routers"
    query: str = field(default="operation=PKIOperation", repr=False)
    environ: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> str:
        return json.dumps(
            {
                "target": self.target,
                "data": base64.b64encode(self.data).decode(),
                "method": self.method,
                "slug": self.slug,
                "query": self.query,
                "environ": [list(pair) for pair in self.environ],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Case:
        """Raises ValueError, KeyError for a document that `to_json` did not write."""
        document = json.loads(text)
        document["data"] = base64.b64decode(document["data"])
        document["environ"] = tuple((str(name), str(value)) for name, value in document["environ"])
        return cls(**document)


class Shares(NamedTuple):
    """The share of messages for the door, and the shares sealed and signed again."""

    door: float = 0.06
    resigned: float = 0.35


# -------------------------------------------------------------------------------------------- seeds


@cache
def certificates() -> tuple[bytes, ...]:
    certificate_list = [certificate_der(name) for name in ("ca", "ra", "alice")]
    return (
        *certificate_list,
        f.identity("alice").certificate_der,
        f.identity("bob").certificate_der,
        f.ec_certificate(),
    )


@cache
def requests() -> tuple[bytes, ...]:
    """CSRs as devices write them, and with everything a request can have."""
    subject = build_name(
        [
            ("CN", "r1.example"),
            ("O", "Exämple"),
            ("serialNumber", "FOC1"),
            ("emailAddress", "a@b.c"),
        ]
    )
    names = san(*(general_name(kind, value) for kind, value in _NAMES.items()))
    usage = [
        extension("2.5.29.15", b"\x03\x02\x05\xa0"),
        extension("2.5.29.37", bytes.fromhex("300a06082b06010505070302")),
    ]
    sid = extension("1.3.6.1.4.1.311.25.2", der_sequence(der_context(0, f.nested(2))))
    return (
        f.csr("alice"),
        f.csr("bob"),
        (VECTORS / "scep" / "strongswan-5.9.8.csr.der").read_bytes(),
        request_der(subject, challenge("secret"), extension_request(names, *usage, sid)),
        request_der(subject, extension_request(names), key=ec_key()),
        request_der(build_name([])),
    )


_NAMES: Final = {
    "dns": "r1.example",
    "ip": "2001:db8::1",
    "email": "alice@example.org",
    "uri": "https://example.org/x",
    "upn": "alice@EXAMPLE",
}


@cache
def messages() -> tuple[bytes, ...]:
    """Whole PKIMessages: recorded, and forged in each kind and spelling."""
    recorded = [
        path.read_bytes()
        for path in sorted((VECTORS / "scep").glob("*.der"))
        if "csr" not in path.name
    ]
    return (
        *(_recorded for _recorded in recorded if len(_recorded) < 20_000),
        *(m.encode() for m in _forged()),
    )


@cache
def _forged() -> tuple[f.Message, ...]:
    inside = {
        "19": f.csr(),
        "17": f.csr(),
        "20": subject_query(),
        "21": serial_query(),
        "22": serial_query(),
    }
    plain = [
        f.Message(message_type=kind, envelope=_sealed(content)) for kind, content in inside.items()
    ]
    odd = f.Message(envelope=_sealed(f.csr()))
    return (
        *plain,
        replace(
            odd,
            indefinite=True,
            indefinite_attributes=True,
            envelope=replace(odd.envelope, constructed=True),
        ),
        replace(odd, pss_salt=32, digest="sha384"),
        replace(odd, sid_by_ski=True, digest="sha512", certificates=certificates()),
        replace(odd, key=ec_key()),
        replace(odd, message_type="18"),
        replace(odd, envelope=f.Envelope(oaep_hash="sha256", by_ski=True)),
        replace(
            odd, extra_attributes=[f.attribute(c.ATTR_FAIL_INFO, b"\x13\x012")], crls=[f.nested(2)]
        ),
    )


@cache
def _encrypted_key() -> bytes:
    """One content key, encrypted once: sealing again costs no RSA."""
    return _raw_transport(f.Envelope().encode())


def _raw_transport(envelope: bytes) -> bytes:
    enveloped = children(children(parse_exact(envelope))[1])[0]
    return children(children(children(enveloped)[1])[0])[3].value


def _sealed(plaintext: bytes) -> f.Envelope:
    return f.Envelope(plaintext=plaintext, encrypted_cek=_encrypted_key())


def subject_query() -> bytes:
    """IssuerAndSubject."""
    return der_sequence(
        read_certificate(certificate_der("ra")).issuer_der, f.identity().subject_der
    )


def serial_query() -> bytes:
    """IssuerAndSerialNumber."""
    return issuer_and_serial(read_certificate(certificate_der("ra")))


@cache
def answers() -> tuple[bytes, ...]:
    """CertReps to Alice's `SENT`: success with a certificate and a CRL, pending, refused."""
    return tuple(
        _answer(status, content)
        for status, content in (("0", _delivered()), ("3", b""), ("2", b""))
    )


SENT_ID: Final = "fuzz"


def _delivered() -> bytes:
    return _sealed_to_alice(encode_degenerate((certificate_der("alice"),), (f.nested(3),)))


def _sealed_to_alice(content: bytes) -> bytes:
    envelope = f.Envelope(plaintext=content, recipient_certificate=f.identity().certificate_der)
    return replace(envelope, encrypted_cek=_key_for_alice()).encode()


@cache
def _key_for_alice() -> bytes:
    return _raw_transport(
        f.Envelope(plaintext=b"", recipient_certificate=f.identity().certificate_der).encode()
    )


def _answer(status: str, content: bytes, attributes: Sequence[bytes] | None = None) -> bytes:
    known = [
        f.message_type("3"),
        f.text_attribute(c.ATTR_PKI_STATUS, status),
        f.transaction_id(SENT_ID),
        f.attribute(c.ATTR_RECIPIENT_NONCE, b"\x04\x10" + f.NONCE),
        f.sender_nonce(b"n" * 16),
        *([f.text_attribute(c.ATTR_FAIL_INFO, "2")] if status == "2" else []),
    ]
    return encode_signed_data(
        content, known if attributes is None else attributes, digest="sha256", signer=RaKeys()
    )


@cache
def published() -> tuple[bytes, ...]:
    """Answers to GetCACert."""
    return (
        encode_degenerate((certificate_der("ra"), certificate_der("ca"))),
        encode_degenerate(()),
        certificate_der("ca"),
    )


@cache
def names() -> tuple[bytes, ...]:
    subjects = [read_certificate(der).subject_der for der in certificates()]
    alternative = [der_sequence(*(general_name(kind, value).der for kind, value in _NAMES.items()))]
    return (
        *subjects,
        *alternative,
        build_name([("CN", "r1.example"), ("DC", "example"), ("2.5.4.97", "x")]).der,
    )


@cache
def queries() -> tuple[bytes, ...]:
    text = base64.b64encode(messages()[-1])
    spelled = [
        text,
        text.replace(b"+", b"%2B").replace(b"/", b"%2F"),
        text.translate(bytes.maketrans(b"+/", b"-_")).rstrip(b"="),
    ]
    lines = b"%0D%0A".join(text[at : at + 64] for at in range(0, len(text), 64))
    return (
        *(b"operation=PKIOperation&message=" + spelling for spelling in (*spelled, lines)),
        b"operation=GetCACaps&message=CAIdentifier",
        b"message=MIIA&operation=GetCACert&x",
    )


SEEDS: Final[dict[str, Callable[[], tuple[bytes, ...]]]] = {
    "message": messages,
    "request": requests,
    "certificate": certificates,
    "name": names,
    "query": queries,
    "query for a certificate": lambda: (serial_query(), subject_query()),
    "answer": answers,
    "published": published,
}
_TARGETS: Final = (
    "message",
    "request",
    "certificate",
    "name",
    "query",
    "query for a certificate",
    "answer",
    "published",
)
_TARGET_WEIGHTS: Final = (34, 24, 8, 8, 8, 4, 10, 4)

_EC_SHARE: Final = 0.75

# ------------------------------------------------------------------------------------------- making


class Maker:
    """Makes cases by number.

    `extra` are useful inputs of a guided run, by target; `of_device` are messages of a certified
    device, for the door.
    """

    def __init__(
        self,
        seed: int,
        shares: Shares,
        extra: dict[str, tuple[bytes, ...]] | None = None,
        of_device: tuple[f.Message, ...] = (),
    ) -> None:
        self._seed, self._shares, self._of_device = seed, shares, of_device
        self._seeds = {
            target: make() + (extra or {}).get(target, ()) for target, make in SEEDS.items()
        }
        self._all = tuple(seed for seeds in self._seeds.values() for seed in seeds)

    def case(self, number: int) -> Case:
        chance = Random(self._seed << 40 | number)  # noqa: S311 - repeatable on purpose
        if chance.random() < self._shares.door:
            return self._at_the_door(chance)
        (target,) = chance.choices(_TARGETS, _TARGET_WEIGHTS)
        return Case(target, self._data(chance, target))

    def _data(self, chance: Random, target: str) -> bytes:
        if chance.random() < self._shares.resigned:
            match target:
                case "message":
                    return self._resigned_message(chance)
                case "request":
                    return self._resigned_request(chance)
                case "answer":
                    return self._resigned_answer(chance)
        if target == "query":
            return self._query(chance)
        return self._mutated(chance, target)

    def _mutated(self, chance: Random, target: str) -> bytes:
        return mutate(chance, chance.choice(self._seeds[target]), self._all)

    def _resigned_request(self, chance: Random) -> bytes:
        """A CSR whose content is mutated and then signed, mostly with the key it names."""
        by_alice, by_carol = requests()[0], requests()[4]
        good, key = (
            (by_carol, ec_key())
            if chance.random() < _EC_SHARE
            else (chance.choice((by_alice, requests()[3])), None)
        )
        return signed(mutate(chance, children(parse_exact(good))[0].raw, self._all), key)

    def _resigned_message(self, chance: Random, *, at_door: bool = False) -> bytes:
        """A message whose signature is right though something behind it is not.

        An EC key signs in a twentieth of the time, but the door takes such signers no further than
        their signature.
        """
        message = chance.choice(_forged() + (self._of_device if at_door else ()))
        if not at_door and message.pss_salt is None and chance.random() < _EC_SHARE:
            message = replace(message, key=ec_key())
        match chance.randrange(6):
            case 0 | 1:
                content = (
                    self._resigned_request(chance)
                    if chance.random() < 0.6
                    else self._mutated(chance, "request")
                )
                return replace(message, envelope=_sealed(content)).encode()
            case 2:
                inner = self._mutated(chance, "query for a certificate")
                kind = chance.choice(("20", "21", "22"))
                return replace(message, message_type=kind, envelope=_sealed(inner)).encode()
            case 3:
                return replace(
                    message, content=mutate(chance, message.signed_content(), self._all)
                ).encode()
            case 4:
                return self._with_odd_attributes(chance, message)
            case _:
                return self._with_odd_signer(chance, message)

    def _with_odd_attributes(self, chance: Random, message: f.Message) -> bytes:
        content = message.signed_content()
        good = [
            f.content_type(),
            f.message_digest(content, message.digest),
            f.message_type(),
            f.transaction_id(),
            f.sender_nonce(),
        ]
        number = chance.randrange(len(good))
        good[number] = mutate(chance, good[number], self._all)
        return replace(message, attributes=good, sort_attributes=chance.random() < 0.5).encode()

    def _with_odd_signer(self, chance: Random, message: f.Message) -> bytes:
        """Another certificate, algorithm or name of the signer, or a wrong signature."""
        odd = mutate(chance, chance.choice(certificates()), self._all)
        algorithm = mutate(chance, f.pss_algorithm("sha256", 32), self._all)
        sid = mutate(chance, serial_query(), self._all)
        changes = (
            {"certificates": (odd,)},
            {"signature_algorithm": algorithm},
            {"sid": sid},
            {"signature": bytes(256)},
        )
        return replace(message, **chance.choice(changes)).encode()

    def _resigned_answer(self, chance: Random) -> bytes:
        match chance.randrange(3):
            case 0:
                return _answer(
                    "0", _sealed_to_alice(mutate(chance, chance.choice(published()), self._all))
                )
            case 1:
                return _answer("0", mutate(chance, _delivered(), self._all))
            case _:
                read = _attributes_of(chance.choice(answers()))
                number = chance.randrange(len(read))
                read[number] = mutate(chance, read[number], self._all)
                return _answer("0", _delivered(), read)

    def _query(self, chance: Random) -> bytes:
        data = bytearray(chance.choice(self._seeds["query"]))
        pieces = (
            b"%00",
            b"%25",
            b"%2B",
            b"%",
            b"%zz",
            b"&message=",
            b"&operation=",
            b"=",
            b" ",
            b"+",
            b"-_",
            b"\xff",
            b"%FF",
        )
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randrange(len(data) + 1)
            data[at : at + chance.choice((0, 0, 1, 3, 60))] = chance.choice(
                (*pieces, chance.randbytes(3), b"A" * 70_000)
            )
        return bytes(data)

    # ------------------------------------------------------------------------------------- the door

    def _at_the_door(self, chance: Random) -> Case:
        slug = chance.choices(SLUGS, (10, 3, 3, 3, 3, 1))[0]
        environ = self._environ(chance) if chance.random() < 0.1 else ()
        kind = chance.random()
        if kind < 0.12:
            query = self._query(chance).decode("latin-1")
            return Case(
                DOOR, b"", chance.choice(("GET", "GET", "HEAD", "POST")), slug, query, environ
            )
        data = (
            self._resigned_message(chance, at_door=True)
            if kind < 0.62
            else self._mutated(chance, "message")
        )
        if kind > 0.95:
            data = chance.choice(messages())
        if chance.random() < 0.1:
            text = base64.b64encode(data)
            query = "operation=PKIOperation&message=" + (
                quote_from_bytes(text) if chance.random() < 0.5 else text.decode()
            )
            return Case(DOOR, b"", "GET", slug, query, environ)
        return Case(DOOR, data, "POST", slug, "operation=PKIOperation", environ)

    def _environ(self, chance: Random) -> tuple[tuple[str, str], ...]:
        odd = (
            "",
            "-1",
            "0",
            "1e3",
            "9" * 30,
            "\u0661",
            "identity",
            "gzip",
            "chunked",
            "a b",
            "[::1",
            "x" * 9_000,
            "\xff\x00",
        )
        keys = (
            "CONTENT_LENGTH",
            "CONTENT_TYPE",
            "HTTP_HOST",
            "HTTP_USER_AGENT",
            "HTTP_TRANSFER_ENCODING",
        )
        more = (
            "HTTP_CONTENT_ENCODING",
            "HTTP_X_FORWARDED_FOR",
            "REMOTE_ADDR",
            "HTTP_COOKIE",
            "SERVER_PROTOCOL",
        )
        return tuple(
            (chance.choice(keys + more), chance.choice(odd))
            for _ in range(chance.choice((1, 1, 2)))
        )


def _attributes_of(answer: bytes) -> list[bytes]:
    """The signed attributes of a CertRep without the two that signing adds."""
    signed_data = children(children(parse_exact(answer))[1])[0]
    signer = children(children(signed_data)[-1])[0]
    return [tlv.raw for tlv in children(children(signer)[3]) if not tlv.raw.startswith(_ADDED)]


_ADDED: Final = tuple(
    b"\x30" + bytes((length,)) + oid
    for oid in (c.ATTR_CONTENT_TYPE, c.ATTR_MESSAGE_DIGEST)
    for length in range(128)
)
