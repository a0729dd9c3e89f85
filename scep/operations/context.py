"""A message and where it came from: what its profile makes of it, its content and its answer."""

import os
from dataclasses import dataclass, field
from datetime import datetime

from approvals.models.profiles import EnrollmentProfile, ReplyChain
from approvals.rules.errors import Refusal
from ca.models.certificates import Certificate
from scep.notes import Notes
from scep.protocol.envelope import addressed_recipient, open_envelope
from scep.protocol.errors import Unreadable
from scep.protocol.messages import MessageRules, PasswordKey, PKIMessage
from scep.ra.addressees import mistaken_addressee
from scep.ra.keys import RaCredential, ra_keys
from scep.responses import Delivery


@dataclass(frozen=True, slots=True)
class MessageContext:
    """Where a message came from and when."""

    profile: EnrollmentProfile
    address: str
    client: str
    now: datetime
    notes: Notes = field(default_factory=Notes, compare=False)

    def recipients(self) -> tuple[RaCredential, ...]:
        """Return every RA credential that a message here may be encrypted to.

        Raises RaNotReady, KeyStoreError.
        """
        return ra_keys.behind(self.profile.lineage)

    def addressed(self, message: PKIMessage) -> RaCredential | None:
        """Return the credential that a message names, or None.

        A single one counts as meant, whatever the message names. An unknown name is looked up once
        more: another process may have made the key.
        """
        recipients = self.recipients()
        recipient = addressed_recipient(message, recipients)
        if recipient is None and ra_keys.look_again(self.profile.lineage):
            recipients = self.recipients()
            recipient = addressed_recipient(message, recipients)
        return recipients[0] if recipient is None and len(recipients) == 1 else recipient

    def issuer_meant(self, issuer_der: bytes) -> bytes:
        """Return the issuer that a GetCert or GetCRL means: the CA, also where it names the RA.

        sscep before 0.10 names the certificate with which it verifies answers, and has no option
        for another.
        """
        return next(
            (ra.issuer_der for ra in self.recipients() if issuer_der in ra.subjects), issuer_der
        )

    @property
    def rules(self) -> MessageRules:
        """The profile's rules for messages, now."""
        skew = self.profile.max_clock_skew
        bounds = (self.now - skew, self.now + skew) if skew else None
        return MessageRules(legacy_algorithms=self.profile.legacy_algorithms, signed_between=bounds)


def delivery(
    answer: Certificate | Refusal | None,
    context: MessageContext,
    password_key: PasswordKey | None = None,
) -> Delivery:
    """Return how the profile delivers an answer: with which chain, by which rules."""
    profile = context.profile
    if not isinstance(answer, Certificate) or profile.reply_chain == ReplyChain.LEAF:
        return Delivery(rules=context.rules, password_key=password_key)
    issuer = profile.ca if answer.ca_id == profile.ca_id else answer.ca
    chain = tuple(authority.certificate_der for authority in issuer.chain())
    return Delivery(chain, context.rules, password_key)


def opened(message: PKIMessage, context: MessageContext) -> bytes:
    """Decrypt the envelope of a message.

    Whether to look for a mistaken addressee is decided by what everybody can read, and before
    anything is decrypted. A look-up after a failure would take time, and tell the sender by the
    time how far the decryption came: a CBC oracle.
    """
    recipients, mistaken = context.recipients(), ""
    if addressed_recipient(message, recipients) is None:
        mistaken = mistaken_addressee(message, context.profile)
    try:
        return open_envelope(
            message, recipients=recipients, entropy=os.urandom, rules=context.rules
        )
    except Unreadable as refused:
        if mistaken:
            refused.cause = (
                f"encrypted to {mistaken}: an RA certificate of CA {context.profile.ca.name} is "
                "needed"
            )
        raise
