"""Status tokens are kept as digests, and each finds one challenge or one request."""

from hashlib import sha256

import pytest
from django.db import IntegrityError, transaction

from accounts.principals import PORTAL
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.models.challenges import ChallengePassword
from approvals.models.requests import EnrollmentRequest
from approvals.records.status_tokens import by_status_token, give_status_token
from tests.world import Device, World, create_profile, now


def challenges(world: World, number: int = 1) -> list[ChallengePassword]:
    """Return one-time challenges."""
    profile = create_profile(world.ca, slug="vpn", challenge="one-time")
    for _ in range(number):
        create_challenges(ChallengeOrder(profile), principal=PORTAL, now=now())
    return list(ChallengePassword.objects.all())


def test_a_token_finds_its_challenge_or_its_request(world: World) -> None:
    Device.named("r1.example").enroll()
    request, (challenge,) = EnrollmentRequest.objects.get(), challenges(world)
    tokens = [give_status_token(request), give_status_token(challenge)]
    assert [by_status_token(token) for token in tokens] == [request, challenge]
    for strange in ("", "x", tokens[0][:-1], tokens[0] + "x", "\ud800"):
        assert by_status_token(strange) is None


def test_only_the_digest_of_a_token_is_kept(world: World) -> None:
    (challenge,) = challenges(world)
    token = give_status_token(challenge)
    challenge.refresh_from_db()
    assert challenge.status_token_sha256 == sha256(token.encode()).hexdigest()
    assert len(token) >= 27  # 160 bits


def test_a_new_token_makes_the_one_before_void(world: World) -> None:
    (challenge,) = challenges(world)
    first, second = give_status_token(challenge), give_status_token(challenge)
    assert by_status_token(first) is None
    assert by_status_token(second) == challenge


def test_no_two_rows_have_one_token(world: World) -> None:
    first, second = challenges(world, 2)
    give_status_token(first)
    with pytest.raises(IntegrityError), transaction.atomic():
        ChallengePassword.objects.filter(pk=second.pk).update(
            status_token_sha256=first.status_token_sha256
        )
