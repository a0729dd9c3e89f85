"""The two errors of a request before anyone decides on it, and the law of the single answer.

The CBC oracle. An envelope is not bound to the signature around it: an attacker who has captured a
message can put its envelope, or blocks of it, into a message signed with a key of his own, and read
the answer. AES-CBC lets him choose the first plaintext block (through the IV) and append any
captured blocks. Each difference between two answers, in text, code, log or time, then tells him
something about the plaintext, and the plaintext of a PKCSReq holds a challenge. A prototype read a
static challenge octet by octet with some 50 messages each, only because GetCRL answered badCertId
for an IssuerAndSerialNumber and badRequest for anything else. RSA with PKCS #1 v1.5 has the same
weakness for the content key (Bleichenbacher).

So never answer "unparsable" differently from "undecryptable". In detail:
- Public facts come first, by name: algorithms, sizes, structure. Everyone can read them.
- From the RSA operation to the signature of the inner request, every failure is `unreadable`: one
  failInfo, one text, one cause in the log, one number. A bad RSA padding gives a random content key
  (implicit rejection), so it fails later, like bad content.
- A look-up that depends on the result (which certificate was this encrypted to?) happens before the
  decryption or not at all: the time of a look-up after a failure would tell how far it came.
- The log counts all of it as one cause, since a new cause takes longer to write than a repeated
  one. People may read the log and send messages, so their pages say the same (`NOT_OPENED`).

One answer until the key is proven. A device with a real fault in its request must learn it. Two
proofs make that safe, and only then a refusal says why:
- The key in the request also signed the message. No attacker can place his own key into a captured
  envelope: CBC garbles every other block that he changes, and the smallest key spans four blocks in
  a row.
- The signature of the request has held, and the fault is in the part it covers (version, names,
  attributes). Everything around the signed part (its length, further members, trailing bytes) is
  checked before the signature and stays `unreadable`: an attacker may put blocks there.
GetCert and GetCRL prove nothing about their content. An unreadable one gets the answer for a
certificate that does not exist, badCertId.

ADRs 29 and 34 have the history; rows D-7 and D-72 of docs/attacks.md have the tests.
"""

from __future__ import annotations

from typing import Final

from scep.protocol.constants import FailInfo
from scep.protocol.messages import ReplyContext

UNREADABLE: Final = "message could not be decrypted or read"
#: The only cause in the log for everything that only a private key reveals: a wrong key, wrong
#: padding, a content that is not a certificate request. With several causes, readers of the log
#: could decrypt captured envelopes too.
NOT_OPENED: Final = "encrypted to another key, damaged, or without a readable certificate request"


class ScepProtocolError(Exception):
    """Any fault of a received SCEP message."""


class Malformed(ScepProtocolError):
    """No CertRep can be built for these bytes: the door answers HTTP 400."""


class Refused(ScepProtocolError):
    """The message can be answered with a CertRep FAILURE.

    `text` is public (failInfoText); `cause` is for the audit log and never sent. `reply` holds the
    fields to echo, `number` is sent with the text.
    """

    number = ""

    def __init__(
        self, fail_info: FailInfo, text: str, *, cause: str = "", reply: ReplyContext | None = None
    ) -> None:
        super().__init__(text)
        self.fail_info = fail_info
        self.text = text
        self.cause = cause or text
        self.reply = reply


class Unreadable(Refused):
    """The one refusal for everything from RSA decryption to the signature of the request inside.

    A sender who can tell these failures apart can decrypt captured messages (Bleichenbacher,
    Vaudenay; or with blocks of a captured message in a new order), so the answer is the same for
    all of them. `cause` says more about what stands in the open, and about a request whose key was
    read.
    """

    def __init__(self, reply: ReplyContext | None, cause: str = NOT_OPENED) -> None:
        super().__init__(FailInfo.BAD_REQUEST, UNREADABLE, cause=cause, reply=reply)
