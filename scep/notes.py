"""Facts about a message that its answer does not contain, for the pages of stored messages."""

from dataclasses import dataclass

from approvals.rules.errors import Refusal
from approvals.rules.policy import UNIFORM_TEXT
from scep.protocol.messages import PKIMessage
from scep.protocol.signed_data import OuterLayer


@dataclass(slots=True)
class Notes:
    """Facts about one exchange for the pages of stored messages; the answer never has them."""

    subject: str = ""  # of the certificate request
    cause: str = ""
    detail: str = ""
    number: str = ""
    outer: OuterLayer | None = None  # once it could be read
    message: PKIMessage | None = None  # once its signature was verified

    def of_refusal(self, refusal: Refusal) -> None:
        """Copy refusal and cause of the RA."""
        self.cause, self.number = refusal.real_cause, refusal.number
        self.detail = refusal.detail or ("" if refusal.text == UNIFORM_TEXT else refusal.text)
