"""The two ways a request can fail before anybody decides about it."""

from __future__ import annotations

from typing import Final

from scep.protocol.constants import FailInfo
from scep.protocol.messages import ReplyContext

UNREADABLE: Final = "message could not be decrypted or read"
#: The one cause in the log for everything that only a private key shows: a wrong key, wrong
#: padding, a content that is no certificate request. People who read the log could read captured
#: envelopes, too, if it told these apart.
NOT_OPENED: Final = "encrypted to another key, damaged, or without a readable certificate request"


class ScepProtocolError(Exception):
    """Anything wrong with a received SCEP message."""


class Malformed(ScepProtocolError):
    """No CertRep can be built for these bytes: the door answers HTTP 400."""


class Refused(ScepProtocolError):
    """The message can be answered with a CertRep FAILURE.

    `text` is public (failInfoText); `cause` is for the audit log and never sent. `reply` says what
    to echo, `number` is told with the text.
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
