"""What reading a stranger's bytes may raise: a closed list.

Whatever else comes out is a fault of ours, and is counted.

Each reader promises its own few classes; the readers that stand behind another one (names in a
request, keys in a certificate) promise them to that one. `./portal fuzz` and the tests hold them to
it.
"""

from collections.abc import Mapping
from typing import Final

from ca.x509.asn1 import Asn1Error
from ca.x509.errors import CsrAlgorithmRefused, CsrMalformed, CsrSignatureInvalid
from ca.x509.names import NameMalformed
from scep.protocol.certificates import UnusableKeyError
from scep.protocol.errors import Malformed, Refused
from scep.protocol.requests import BadCertRep
from scep.query import QueryInvalid

#: By what is read. Nothing else may leave a reader.
PLANNED: Final[Mapping[str, tuple[type[Exception], ...]]] = {
    "query": (QueryInvalid,),
    "message": (Malformed, Refused),
    "envelope": (Refused,),
    "request": (CsrMalformed, CsrSignatureInvalid, CsrAlgorithmRefused),
    "certificate": (Asn1Error, UnusableKeyError),
    "name": (NameMalformed, Asn1Error),
    "query for a certificate": (Asn1Error,),
    "answer": (BadCertRep,),
}


class TryLater(Exception):
    """A message is refused for a while only.

    No CertRep says that, and a device takes a FAILURE as final: HTTP 503.

    Raised once the requested key has signed its request; `str()` is for the records, the device
    reads nothing of it.
    """

    def __init__(self, text: str, seconds: int) -> None:
        super().__init__(text)
        self.seconds = seconds


#: No CertRep can answer these: HTTP 400, with the text of the exception.
UNANSWERABLE: Final = (QueryInvalid, Malformed)
