"""Names of numbers on the wire, in the spelling of RFC 8894 section 3.2.1. PURE."""

from typing import Final, Literal

from scep.protocol.constants import FailInfo, MessageType, PKIStatus

Kind = Literal["type", "status", "fail"]

WIRE_NAMES: Final[dict[Kind, dict[int, str]]] = {
    "type": {
        MessageType.CERT_REP: "CertRep",
        MessageType.RENEWAL_REQ: "RenewalReq",
        MessageType.PKCS_REQ: "PKCSReq",
        MessageType.CERT_POLL: "CertPoll",
        MessageType.GET_CERT: "GetCert",
        MessageType.GET_CRL: "GetCRL",
    },
    "status": {status: status.name for status in PKIStatus},
    "fail": {fail_info: fail_info.spelled for fail_info in FailInfo},
}


def wire_name(number: int | None, kind: Kind) -> str:
    """Return the name of a messageType, pkiStatus or failInfo.

    A number without a name is returned as text; None gives "".
    """
    return "" if number is None else WIRE_NAMES[kind].get(number, str(number))
