"""The steps of the two kinds of run, in order.

Each returns a sentence, or raises StepFailed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accounts.principals import Principal
from approvals.decisions.decide import approve_request
from approvals.decisions.review_digest import review_digest
from approvals.decisions.revocations import revoke_certificate
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from scep.protocol.certificates import read_certificate
from scep.protocol.constants import FailInfo, PKIStatus
from scep.transport import HttpError
from selftest.checks import (
    Chain,
    check_capabilities,
    check_certificate,
    check_chain,
    check_crl,
    fingerprints,
)
from selftest.device import ThrowawayDevice, expect
from selftest.errors import StepFailed
from selftest.models import SelfTestRun

#: Maximum seconds that a run waits for the signing worker, once for the certificate and once for
#: the CRL; and the interval of its polls.
PATIENCE = 30.0
LOOK_EVERY = 0.25

WalkStep = tuple[str, Callable[[], str]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunEnvironment:
    """The environment of a run: the clock of its door, waiting times, and the way to wait."""

    clock: Callable[[], datetime]
    seconds: Callable[[], float]
    pause: Callable[[float], None]


@dataclass(slots=True)
class Walk:
    """One device on its way, with the results that later steps need."""

    run: SelfTestRun
    device: ThrowawayDevice
    environment: RunEnvironment
    _chain: Chain | None = None
    _request: EnrollmentRequest | None = None
    _certificate: x509.Certificate | None = field(default=None, repr=False)

    def loop(self, principal: Principal) -> list[WalkStep]:
        """The whole loop: ask, wait for an officer, get the certificate, see it revoked."""
        return [
            *self._reading(),
            ("PKCSReq", self._enroll),
            ("CertPoll before", self._poll_before),
            ("decision", lambda: self._decide(principal)),
            ("CertPoll", self._poll_until_issued),
            ("GetCert", self._get_cert),
            ("revocation", lambda: self._revoke(principal)),
            ("GetCRL", self._wait_for_crl),
            ("CertPoll after", self._poll_after),
        ]

    def reading(self) -> list[WalkStep]:
        """The requests that an ordinary profile may get: none can open an enrollment request."""
        return [
            *self._reading(),
            ("damaged signature", self._damage_signature),
            ("no request inside", self._send_without_csr),
            ("unknown CertPoll", self._poll_unknown),
            ("no message at all", self._send_noise),
        ]

    def _reading(self) -> list[WalkStep]:
        return [
            ("GetCACaps", lambda: check_capabilities(self.device.scep.get_ca_caps())),
            ("GetCACert", self._get_ca_cert),
        ]

    def _get_ca_cert(self) -> str:
        received = self.device.scep.get_ca_cert().certificates
        issuing = self.run.profile.ca.certificate_der
        self._chain = check_chain(received, issuing_der=issuing, now=self.environment.clock())
        return f"{len(received)} certificates, chain checked: {fingerprints(self._chain)}"

    def _enroll(self) -> str:
        answer = expect(self.device.enroll(), PKIStatus.PENDING)
        self._request = self._own_request()
        SelfTestRun.objects.filter(pk=self.run.pk).update(request=self._request)
        return answer

    def _own_request(self) -> EnrollmentRequest:
        """Return the request opened by this device's key and transaction."""
        signer = read_certificate(self.device.identity.certificate_der).spki_sha256.hex()
        transactions = EnrollmentTransaction.objects.filter(
            profile_id=self.run.profile_id,
            transaction_id=self.device.identity.transaction_id,
            signer_spki_sha256=signer,
        )
        enrollment = transactions.select_related(
            "request__profile", "request__ca", "request__profile_version"
        ).first()
        if enrollment is None or enrollment.request.csr_spki_sha256 != signer:
            raise StepFailed(
                "PKCSReq: answered PENDING, but there is no request of this transaction and key"
            )
        return enrollment.request

    def _poll_before(self) -> str:
        return expect(self.device.scep.poll(self.device.identity), PKIStatus.PENDING)

    def _decide(self, principal: Principal) -> str:
        request = _there(self._request)
        decision = approve_request(
            request_id=request.pk,
            principal=principal,
            comment="self-test",
            now=self.environment.clock(),
            view_sha256=review_digest(request),
        )
        return (
            f"{decision.get_verdict_display()} by {decision.officer}, "
            f"{decision.get_evidence_display()}"
        )

    def _poll_until_issued(self) -> str:
        def look() -> str:
            answer = self.device.scep.poll(self.device.identity)
            if answer.status is PKIStatus.PENDING:
                return ""
            expect(answer, PKIStatus.SUCCESS)
            if len(answer.certificates) != 1:
                raise StepFailed(
                    f"SUCCESS with {len(answer.certificates)} certificates: one is expected"
                )
            self._certificate = check_certificate(
                answer.certificates[0],
                _there(self._chain),
                key=self.device.key.public_key(),
                common_name=self.device.name,
                now=self.environment.clock(),
            )
            until = f"{self._certificate.not_valid_after_utc:%H:%M:%S} UTC"
            return (
                f"SUCCESS, serial {self._certificate.serial_number:x}, checked: key, names, chain, "
                f"until {until}"
            )

        return self._wait(look, what="no certificate: does the signing worker run?")

    def _get_cert(self) -> str:
        issuer, serial = self._coordinates()
        answer = self.device.scep.get_cert(issuer, serial, self.device.identity)
        expect(answer, PKIStatus.SUCCESS)
        if answer.certificates != (self._der(),):
            raise StepFailed("GetCert: not the certificate that CertPoll gave")
        return "SUCCESS, the same certificate"

    def _revoke(self, principal: Principal) -> str:
        request = EnrollmentRequest.objects.get(pk=_there(self._request).pk)
        if request.certificate_id is None:
            raise StepFailed("revocation: the request has no certificate on record")
        certificate = revoke_certificate(
            certificate_id=request.certificate_id,
            principal=principal,
            reason="cessationOfOperation",
            comment="self-test",
            now=self.environment.clock(),
        )
        return f"{certificate.get_status_display()}, {certificate.revocation_reason}"

    def _wait_for_crl(self) -> str:
        issuer, serial = self._coordinates()
        issuing, number = _there(self._chain).issuing, _there(self._certificate).serial_number

        def look() -> str:
            answer = self.device.scep.get_crl(issuer, serial, self.device.identity)
            expect(answer, PKIStatus.SUCCESS)
            if len(answer.crls) != 1:
                raise StepFailed(f"GetCRL: {len(answer.crls)} CRLs, one is expected")
            crl = check_crl(answer.crls[0], issuing, now=self.environment.clock())
            if crl.get_revoked_certificate_by_serial_number(number) is None:
                return ""
            return f"SUCCESS, the serial number is listed (1 of {len(crl)}), signature checked"

        return self._wait(look, what="no CRL with the serial number: does the signing worker run?")

    def _poll_after(self) -> str:
        return expect(
            self.device.scep.poll(self.device.identity), PKIStatus.FAILURE, FailInfo.BAD_CERT_ID
        )

    def _damage_signature(self) -> str:
        return expect(
            self.device.send_with_damaged_signature(), PKIStatus.FAILURE, FailInfo.BAD_MESSAGE_CHECK
        )

    def _send_without_csr(self) -> str:
        return expect(self.device.send_without_csr(), PKIStatus.FAILURE, FailInfo.BAD_REQUEST)

    def _poll_unknown(self) -> str:
        return expect(
            self.device.scep.poll(self.device.identity), PKIStatus.FAILURE, FailInfo.BAD_CERT_ID
        )

    def _send_noise(self) -> str:
        try:
            self.device.scep.send_bytes(b"this is not a SCEP message")
        except HttpError as error:
            if error.status == 400:
                return "HTTP 400, as it must be"
            raise
        raise StepFailed("no message at all: answered HTTP 200, expected was HTTP 400")

    def _coordinates(self) -> tuple[bytes, bytes]:
        """Issuer and serial number of the certificate, as DER."""
        read = read_certificate(self._der())
        return read.issuer_der, read.serial_der

    def _der(self) -> bytes:
        return _there(self._certificate).public_bytes(Encoding.DER)

    def _wait(self, look: Callable[[], str], *, what: str) -> str:
        until = self.environment.seconds() + PATIENCE
        while not (value := look()):
            if self.environment.seconds() > until:
                raise StepFailed(f"after {PATIENCE:.0f} s {what}")
            self.environment.pause(LOOK_EVERY)
        return value


def _there(value: T | None) -> T:
    """Return the result of an earlier step; steps run in order and stop at the first failure."""
    if value is None:
        raise StepFailed("an earlier step left nothing to go on with")
    return value
