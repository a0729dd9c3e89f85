"""The closed list of errors of readers of untrusted bytes.

Any other error is a fault of the portal, and is counted. Each reader promises its own few classes;
a reader that uses others (names in a request, keys in a certificate) promises theirs too. `./portal
fuzz` and the tests check this.
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

#: The errors of each reader. A reader raises no others.
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
    """A message is refused temporarily.

    No CertRep can express that, and a device takes a FAILURE as final: the answer is HTTP 503. It
    is raised only after the requested key has signed its request. `str()` is for the records; the
    device gets none of it.
    """

    def __init__(self, text: str, seconds: int) -> None:
        super().__init__(text)
        self.seconds = seconds


#: No CertRep can answer these: HTTP 400, with the text of the exception.
UNANSWERABLE: Final = (QueryInvalid, Malformed)
