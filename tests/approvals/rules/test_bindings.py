"""The binding of a challenge: a request that claims more makes the challenge worthless."""

from typing import Any

import pytest

from approvals.rules.bindings import (
    MAX_SANS,
    Binding,
    Claims,
    claims_of,
    described,
    names_of,
    normalized,
    parse_subject,
    written_subject,
)
from approvals.rules.errors import Cause, ChallengeInvalid
from approvals.rules.submission import Submission
from ca.x509.csr import decode_csr
from ca.x509.general_names import general_name
from ca.x509.names import build_name
from tests.ca.forge import extension_request, request_der, san

NAME, SUBJECT = Cause.CHALLENGE_FOREIGN_NAME, Cause.CHALLENGE_FOREIGN_SUBJECT
SAN, ADDRESS = Cause.CHALLENGE_FOREIGN_SAN, Cause.CHALLENGE_FOREIGN_ADDRESS
WHOLE = "CN=r1.example, O=Example, serialNumber=FOC1"
BOUND = ["dns:r1.example", "ip:192.0.2.7"]


def claims(subject: str = "", *sans: str, address: str = "192.0.2.7") -> Claims:
    """Return the claims of a CSR with this subject and these alternative names."""
    names = [general_name(*name.split(":", 1)).der for name in sans]
    extensions = [extension_request(san(*names))] if names else []
    pairs = [tuple(part.split("=", 1)) for part in subject.split(", ") if part]
    csr = decode_csr(request_der(build_name(pairs), *extensions))  # type: ignore[arg-type]  # pairs of two
    return claims_of(Submission(csr, "t", b"", b"", signer_is_self_issued=True, address=address))


@pytest.mark.parametrize(
    ("binding", "request_claims", "cause"),
    [
        ({}, claims("CN=anything", "dns:r9.example"), None),
        ({"common_name": "R1.example"}, claims("CN=r1.EXAMPLE"), None),
        ({"common_name": "r1.example"}, claims("CN=r1.example, O=Example", "dns:r1.example"), None),
        ({"common_name": "r1.example"}, claims("", "dns:r1.example"), None),
        ({"common_name": "192.0.2.7"}, claims("", "ip:192.0.2.7"), None),
        ({"common_name": "r1.example"}, claims("CN=r2.example"), NAME),
        ({"common_name": "r1.example"}, claims("CN=r1.example", "dns:r2.example"), NAME),
        ({"common_name": "r1.example"}, claims("CN=r1.example, UID=admin"), NAME),
        ({"common_name": "r1.example"}, claims("CN=r1.example, emailAddress=a@example.org"), NAME),
        (
            {"common_name": "r1.example"},
            claims("CN=r1.example, unstructuredName=dc1.example"),
            NAME,
        ),
        (
            {"common_name": "r1.example"},
            claims("CN=r1.example, unstructuredAddress=192.0.2.9"),
            NAME,
        ),
        ({"common_name": "r1.example"}, claims("CN=r1.example, unstructuredName=R1.example"), None),
        ({"common_name": "r1.example"}, claims("unstructuredName=r1.example"), None),
        ({"common_name": "r1.example"}, claims("O=Example"), NAME),
        ({"common_name": "r1.example"}, claims(), NAME),
        ({"common_name": "key.example"}, claims("CN=\u212aey.example"), NAME),
        ({"common_name": "r1.example"}, claims("CN= r1.example"), NAME),
        (
            {"subject": WHOLE},
            claims("serialNumber=FOC1, O=Example, CN=R1.example", "dns:r1.example"),
            None,
        ),
        ({"subject": WHOLE}, claims("CN=r1.example, O=Example"), SUBJECT),
        ({"subject": WHOLE}, claims("CN=r1.example, O=Example, serialNumber=FOC1, OU=IT"), SUBJECT),
        (
            {"subject": WHOLE},
            claims("CN=r1.example, O=Example, serialNumber=FOC1", "dns:r2.example"),
            NAME,
        ),
        ({"sans": BOUND}, claims("CN=r1.example", *BOUND), None),
        (
            {"sans": BOUND},
            claims("unstructuredName=r1.example, unstructuredAddress=192.0.2.7", *BOUND),
            None,
        ),
        ({"sans": BOUND}, claims("unstructuredName=r2.example", *BOUND), NAME),
        ({"sans": BOUND}, claims("", "ip:192.0.2.7"), None),
        ({"sans": BOUND}, claims("CN=r1.example"), None),
        ({"sans": BOUND}, claims("O=Example"), SAN),
        ({"sans": BOUND}, claims("", *BOUND, "dns:r2.example"), SAN),
        ({"sans": BOUND}, claims("", "uri:https://r1.example"), SAN),
        ({"sans": BOUND}, claims("CN=r2.example", *BOUND), NAME),
        ({"common_name": "r1", "sans": BOUND}, claims("CN=r1", *BOUND), None),
        ({"common_name": "r1", "sans": BOUND}, claims("", *BOUND), NAME),
        ({"sans": ["uri:https://r1.example/A"]}, claims("", "uri:https://r1.example/a"), SAN),
        (
            {"subject": "CN=r1, unstructuredName=r1.example"},
            claims("CN=r1, unstructuredName=r1.example"),
            None,
        ),
        ({"subject": "2.5.4.3=r1, O=Example"}, claims("CN=r1, O=Example"), None),
        ({"subject": "2.5.4.3=r1, O=Example"}, claims("CN=r1, O=Example", "dns:r2"), NAME),
        ({"networks": ["192.0.2.0/24"]}, claims("CN=x"), None),
        ({"networks": ["192.0.2.8"]}, claims("CN=x"), ADDRESS),
        ({"networks": ["192.0.2.0/24"]}, claims("CN=x", address="not an address"), ADDRESS),
        ({"common_name": "r1", "networks": ["192.0.2.8"]}, claims("CN=x"), ADDRESS),
    ],
)
def test_a_request_keeps_to_what_the_challenge_is_bound_to(
    binding: dict[str, Any], request_claims: Claims, cause: Cause | None
) -> None:
    assert normalized(**binding).fault(request_claims) is cause


@pytest.mark.parametrize(
    ("binding", "words"),
    [
        ({"common_name": "x" * 256}, "common name of 256 characters: at most 255"),
        ({"subject": "CN=" + "x" * 1000}, "subject of 1003 characters: at most 1000"),
        ({"subject": "r1.example"}, "'r1.example' is not NAME=VALUE"),
        ({"subject": "CN="}, "'CN=' is not NAME=VALUE"),
        ({"subject": "XY=r1"}, "attribute 'XY' is not known"),
        ({"subject": "CN=r2", "common_name": "r1"}, "the subject 'CN=r2' has another"),
        ({"sans": ["r1.example"]}, "'r1.example': write it like dns:r1.example"),
        ({"sans": ["xyz:r1"]}, "'xyz:r1': general name of kind 'xyz'"),
        ({"sans": ["ip:r1"]}, "'ip:r1': 'r1' does not appear to be"),
        ({"sans": ["dns:r-1-"]}, "'dns:r-1-': labels of a-z"),
        ({"sans": ["email:no-domain"]}, "'email:no-domain': mailbox@domain is needed"),
        (
            {"sans": [f"dns:r{n}.example" for n in range(MAX_SANS + 1)]},
            "101 alternative names: at most 100",
        ),
        ({"networks": ["10.0.0.1/8"]}, "network '10.0.0.1/8': write it like"),
    ],
)
def test_what_cannot_be_bound_to_is_named(binding: dict[str, Any], words: str) -> None:
    with pytest.raises(ChallengeInvalid) as caught:
        normalized(**binding)
    assert words in str(caught.value)


def test_a_subject_is_read_as_people_write_it() -> None:
    assert parse_subject(r"cn = R1.example,O=Example\, Inc. , 1.2.3.4=x\\y") == (
        ("CN", "r1.example"),
        ("O", "example, inc."),
        ("1.2.3.4", r"x\y"),
    )
    assert parse_subject("") == ()
    assert written_subject([("CN", "r1"), ("O", r"a\b, c")]) == r"CN=r1, O=a\\b\, c"
    assert normalized(common_name="R1", subject="CN=r1").subject == "CN=r1"


def test_a_binding_is_kept_normalized_and_said_in_phrases() -> None:
    bound = normalized(
        common_name=" r1 ",
        sans=["DNS:R1.example", "dns:r1.example", "ip:2001:DB8::0:1"],
        networks=["192.0.2.7"],
    )
    assert bound == Binding(
        common_name="r1", sans=("dns:r1.example", "ip:2001:db8::1"), networks=("192.0.2.7/32",)
    )
    assert described(bound, "switches") == [
        "name r1", "dns:r1.example", "ip:2001:db8::1", "device group switches", "from 192.0.2.7/32"
    ]  # fmt: skip
    assert described(normalized(subject=WHOLE)) == [f"subject {WHOLE}"]
    assert not normalized()
    assert normalized(networks=["::/0"])


def test_names_are_gathered_from_subject_and_alternative_names() -> None:
    extensions = extension_request(san(general_name("dns", "r1.example").der))
    csr = decode_csr(
        request_der(build_name([("CN", "r1"), ("O", "Example"), ("UID", "7")]), extensions)
    )
    assert names_of(csr) == ["r1", "7", "r1.example"]
