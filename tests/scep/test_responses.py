"""The RA's answers as CertReps: one failInfo per cause, unchanged texts, nothing else."""

import pytest

from approvals.rules.errors import MAX_DEVICE_TEXT, Cause, Refusal
from ca.models.certificates import Certificate
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.errors import Refused, Unreadable
from scep.protocol.messages import PKIMessage
from scep.responses import FAIL_INFO, cert_rep_for, cert_rep_for_fault
from tests.pki import certificate_der
from tests.scep.forge import forge


@pytest.fixture(scope="module")
def message() -> PKIMessage:
    return decode_pki_message(forge())


def test_every_cause_has_its_fail_info() -> None:
    assert set(FAIL_INFO) == set(Cause)
    assert {cause for cause, info in FAIL_INFO.items() if info is FailInfo.BAD_CERT_ID} == {
        Cause.UNKNOWN_TRANSACTION,
        Cause.CERTIFICATE_UNAVAILABLE,
        Cause.CERTIFICATE_UNKNOWN,
        Cause.CERTIFICATE_FOREIGN,
    }
    assert {cause for cause, info in FAIL_INFO.items() if info is FailInfo.BAD_ALG} == {
        Cause.SIGNER_ALGORITHM,
        Cause.ANSWER_WITHOUT_KEY,
    }


@pytest.mark.parametrize("cause", Cause)
def test_a_refusal_is_a_failure_with_its_public_text_only(
    message: PKIMessage, cause: Cause
) -> None:
    rep = cert_rep_for(Refusal(cause, "wrong site: Größe 7", "secret detail"), message)
    assert (rep.status, rep.fail_info, rep.fail_info_text) == (
        PKIStatus.FAILURE,
        FAIL_INFO[cause],
        "wrong site: Größe 7",
    )
    assert rep.reply == message.reply
    assert (rep.certificates, rep.recipient) == ((), None)


def test_a_long_text_is_cut_between_characters(message: PKIMessage) -> None:
    rep = cert_rep_for(Refusal(Cause.REJECTED, "ü" * 1000), message)
    assert rep.fail_info_text == "ü" * MAX_DEVICE_TEXT
    fault = cert_rep_for_fault(Refused(FailInfo.BAD_ALG, "x" * 1000, reply=message.reply))
    assert fault is not None
    assert fault.fail_info_text == "x" * MAX_DEVICE_TEXT


def test_not_yet_is_pending_and_says_nothing_else(message: PKIMessage) -> None:
    rep = cert_rep_for(None, message)
    assert (rep.status, rep.fail_info, rep.fail_info_text) == (PKIStatus.PENDING, None, None)
    assert (rep.certificates, rep.recipient) == ((), None)


def test_a_certificate_alone_goes_to_the_key_that_signed_the_request(message: PKIMessage) -> None:
    rep = cert_rep_for(Certificate(der=certificate_der("alice"), status="ISSUED"), message)
    assert (rep.status, rep.fail_info) == (PKIStatus.SUCCESS, None)
    assert rep.certificates == (certificate_der("alice"),)
    assert rep.recipient == message.signer


def test_a_message_the_codec_refused_is_a_failure_where_there_is_something_to_echo(
    message: PKIMessage,
) -> None:
    rep = cert_rep_for_fault(Unreadable(message.reply))
    assert rep is not None
    assert (rep.status, rep.fail_info, rep.reply) == (
        PKIStatus.FAILURE,
        FailInfo.BAD_REQUEST,
        message.reply,
    )
    assert cert_rep_for_fault(Unreadable(None)) is None
