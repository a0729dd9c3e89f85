"""What the portal knows of a message beyond its answer, for the pages of stored messages."""

from dataclasses import dataclass

from approvals.rules.errors import Refusal
from approvals.rules.policy import UNIFORM_TEXT
from scep.protocol.messages import PKIMessage
from scep.protocol.signed_data import OuterLayer


@dataclass(slots=True)
class Notes:
    """What the pages of stored messages say about an exchange, and what the answer never tells."""

    subject: str = ""  # of the certificate request
    cause: str = ""
    detail: str = ""
    number: str = ""
    outer: OuterLayer | None = None  # once it could be read
    message: PKIMessage | None = None  # once its signature was verified

    def of_refusal(self, refusal: Refusal) -> None:
        """Take over what the RA refused and why."""
        self.cause, self.number = refusal.real_cause, refusal.number
        self.detail = refusal.detail or ("" if refusal.text == UNIFORM_TEXT else refusal.text)
