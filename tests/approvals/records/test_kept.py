"""Stored CSRs with their challenge password, and the encryption that all secrets share."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.decisions.decide import reject_request
from approvals.issuance.sweep import sweep
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, KeptCsr
from approvals.records.stored_csrs import discard_csr, discard_overdue, keep_csr, kept_csr
from database.encryption import seal, unseal
from tests.world import Device, World, later, now, principal_of

CSR = b"0\x82 a CSR with the challenge moonlight-4711 inside"


@pytest.fixture
def request_(world: World) -> EnrollmentRequest:
    Device.named("router-1").enroll()
    return EnrollmentRequest.objects.get()


@given(st.binary(max_size=300))
def test_what_was_sealed_opens_for_the_same_purpose_and_owner_only(plain: bytes) -> None:
    sealed = seal("tests", "alice", plain)
    assert unseal("tests", "alice", sealed) == plain
    assert unseal("tests", "bob", sealed) is None
    assert unseal("other tests", "alice", sealed) is None
    assert unseal("tests", "alice", sealed[:-1] + bytes((sealed[-1] ^ 1,))) is None


@pytest.mark.parametrize("length", [0, 5, 12, 13])
def test_what_is_too_short_to_have_been_sealed_does_not_open(length: int) -> None:
    assert unseal("tests", "alice", bytes(length)) is None


def test_a_kept_csr_is_read_again_and_no_row_shows_its_challenge(
    request_: EnrollmentRequest,
) -> None:
    keep_csr(request_, CSR, until=later(hours=1))
    assert kept_csr(request_.pk, now=now()) == CSR
    assert b"moonlight" not in bytes(KeptCsr.objects.get().sealed)


def test_a_kept_csr_is_gone_after_its_time_and_when_it_is_not_needed(
    request_: EnrollmentRequest,
) -> None:
    keep_csr(request_, CSR, until=later(hours=1))
    assert kept_csr(request_.pk, now=later(hours=1)) is None
    discard_csr(request_.pk)
    assert kept_csr(request_.pk, now=now()) is None
    assert not KeptCsr.objects.exists()


def test_the_sweep_forgets_what_is_overdue_and_nothing_else(request_: EnrollmentRequest) -> None:
    keep_csr(request_, CSR, until=later(hours=1))
    assert discard_overdue(now=now()) == 0
    KeptCsr.objects.update(kept_until=now() - timedelta(seconds=1))
    assert sweep(every=timedelta(0)).ran
    assert not KeptCsr.objects.exists()


@pytest.mark.parametrize("window", [timedelta(0), timedelta(minutes=5), timedelta(hours=2)])
@pytest.mark.parametrize(
    "step", [timedelta(minutes=1), timedelta(minutes=53), timedelta(hours=1), timedelta(days=2)]
)
def test_a_csr_goes_once_its_rejection_is_in_effect_whatever_the_clock_was(
    request_: EnrollmentRequest, world: World, window: timedelta, step: timedelta
) -> None:
    EnrollmentProfile.objects.update(undo_window=window)
    reject_request(
        request_id=request_.pk, principal=principal_of(world.alice), comment="unknown", now=now()
    )
    keep_csr(request_, CSR, until=later(days=9))
    moment = now()
    EnrollmentRequest.objects.update(effective_at=moment + window)
    assert discard_overdue(now=moment) == (0 if window else 1)
    keep_csr(request_, CSR, until=later(days=9))
    EnrollmentRequest.objects.update(effective_at=moment + step + window)
    assert discard_overdue(now=moment) == 1
