"""What GetCACaps, GetCACert and GetNextCACert answer."""

from datetime import datetime

from approvals.models.profiles import EnrollmentProfile, RenewalMode
from ca.models.authorities import CertificatesShape
from ca.models.lineage import next_answer, shaped
from ca.x509.cms import encode_degenerate
from scep.protocol.capabilities import capabilities
from scep.protocol.signed_data import sign_beside
from scep.ra.keys import RaNotReady, ra_keys


def ca_capabilities(profile: EnrollmentProfile) -> bytes:
    """Return the GetCACaps body: only supported capabilities (RFC 8894 §3.5.2)."""
    renewal = profile.renewal_mode != RenewalMode.OFF
    has_next = profile.lineage.next is not None
    return capabilities(renewal=renewal, next_ca=has_next, legacy=profile.legacy_algorithms)


def ca_certificates(profile: EnrollmentProfile, *, now: datetime) -> bytes:
    """Return the GetCACert body: RA certificate(s), issuing CA, parents (RFC 8894 §4.2.1.2)."""
    shape = CertificatesShape(profile.ca_certificates)
    ra = ra_keys.offered(profile.ca, shape, now=now)
    return encode_degenerate(shaped(ra.certificates, profile.ca, shape))


def next_ca_certificates(profile: EnrollmentProfile, *, now: datetime) -> bytes | None:
    """Return the stored GetNextCACert body, None without a next CA (RFC 8894 §4.7).

    The signing worker signed it. The RA adds its signature, since a client compares the signer with
    the RA certificate it knows (jscep). Raises RaNotReady while the worker has not signed it in the
    shape of this profile.
    """
    rollover = profile.lineage.rollover
    if rollover is None:
        return None
    shape = CertificatesShape(profile.ca_certificates)
    answer = next_answer(rollover, shape)
    if answer is None:
        raise RaNotReady(
            f"CA {rollover.ca.name}: its GetNextCACert answer for {shape} is not signed yet"
        )
    return sign_beside(
        answer.answer_der, digest="sha256", signer=ra_keys.offered(profile.ca, shape, now=now)
    )
