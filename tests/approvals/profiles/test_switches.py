"""A profile's switches for devices that break RFC 8894: each is off by default."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals.decisions.decide import approve_request
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.profiles.manage import ProtocolSwitches
from approvals.rules.errors import ProfileInvalid
from audit.events import Event
from audit.models import AuditEntry
from ca.x509.asn1 import UTC_TIME, der, der_oid
from scep.client import ScepClient, build_csr
from scep.protocol import constants as c
from scep.protocol.constants import FailInfo, PKIStatus
from tests.flows.wire import message, post, refused
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.scep.forge import ALICE_ID, TRIPLE_DES, attribute, csr, identity
from tests.world import World, create_profile, now, principal_of, run_worker, through

pytestmark = pytest.mark.usefixtures("consistent", "no_waiting")

DES3 = c.CIPHER_OIDS["3des-cbc"]
AES_128 = c.CIPHER_OIDS["aes-128-cbc"]


def switched(world: World, slug: str = "old", **switches: Any) -> EnrollmentProfile:
    return create_profile(world.ca, slug, switches=ProtocolSwitches(**switches))


def approve(world: World, profile: EnrollmentProfile) -> EnrollmentRequest:
    request = EnrollmentRequest.objects.get(profile=profile)
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [request.pk]
    return request


# -------------------------------------------------------------------------------- legacy algorithms


def test_a_device_that_knows_sha_1_and_3des_only_enrolls_at_a_profile_that_says_so(
    world: World,
) -> None:
    profile = switched(world, legacy_algorithms=True)
    client = ScepClient(
        "http://testserver/scep/old/", through(Client()), digest="sha1", cipher="3des-cbc"
    )
    assert client.get_ca_caps() >= {"SHA-1", "DES3"}
    asked = build_csr(rsa_key("alice"), "alice.example")
    assert client.enroll(asked, identity()).status is PKIStatus.PENDING
    approve(world, profile)
    answer = client.poll(identity())
    assert answer.status is PKIStatus.SUCCESS
    assert client.get_cert(b"0\x00", b"\x02\x01\x01", identity()).fail_info is FailInfo.BAD_CERT_ID


def test_each_message_is_answered_in_kind(world: World) -> None:
    profile = switched(world, legacy_algorithms=True)
    post(message(world, csr()), "old")
    approve(world, profile)
    for digest, oid in (
        ("sha1", c.SHA_1),
        ("sha256", c.DIGEST_OIDS["sha256"]),
        ("sha512", c.DIGEST_OIDS["sha512"]),
    ):
        for envelope, cipher, other in (({}, AES_128, DES3), (TRIPLE_DES, DES3, AES_128)):
            for kind in ("19", "20"):
                sent = message(
                    world, csr(), digest=digest, message_type=kind, envelope=dict(envelope)
                )
                answer = post(sent, "old")
                assert answer.status is PKIStatus.SUCCESS
                assert answer.content is not None
                assert (cipher in answer.content, other in answer.content) == (True, False)
                assert answer.body.count(oid) >= 2
        unproved = message(world, digest=digest, tamper_signature=True)
        assert refused(unproved, FailInfo.BAD_MESSAGE_CHECK, profile="old").body.count(oid) >= 2


def test_d34_d35_a_legacy_message_at_a_strict_profile_is_bad_alg_and_nothing_offers_it(
    world: World,
) -> None:
    caps = Client().get("/scep/routers/?operation=GetCACaps").content.decode().split("\n")
    assert not {"SHA-1", "DES3"} & set(caps)
    refused(message(world, digest="sha1"), FailInfo.BAD_ALG, "digest algorithm SHA-1: use SHA-256")
    sent = message(world, envelope=dict(TRIPLE_DES))
    refused(sent, FailInfo.BAD_ALG, "content encryption 3DES-CBC: use AES-128-CBC")


def test_d38_md5_and_des_are_refused_by_a_legacy_profile_too(world: World) -> None:
    switched(world, legacy_algorithms=True)
    refused(
        message(world, digest="md5"),
        FailInfo.BAD_ALG,
        "digest algorithm MD5: use SHA-256",
        profile="old",
    )
    des = message(world, digest="sha1", envelope={"cipher_oid": der_oid("1.3.14.3.2.7")})
    answer = refused(
        des, FailInfo.BAD_ALG, "content encryption DES-CBC: use AES-128-CBC", profile="old"
    )
    assert answer.body.count(c.SHA_1) == 2, (
        "digestAlgorithms and the SignerInfo: a refusal is in kind as well"
    )


def test_a_strict_message_is_as_welcome_at_a_legacy_profile_as_anywhere(world: World) -> None:
    switched(world, legacy_algorithms=True)
    answer = post(message(world, csr()), "old")
    assert answer.status is PKIStatus.PENDING
    assert c.SHA_1 not in answer.body


def test_a_3des_poll_at_a_strict_profile_is_answered_in_aes(world: World) -> None:
    """The envelope of a poll is not opened, so nothing in it is refused."""
    post(message(world, csr()))
    approve(world, world.profile)
    answer = post(message(world, message_type="20", envelope=dict(TRIPLE_DES)))
    assert answer.status is PKIStatus.SUCCESS
    assert answer.content is not None
    assert AES_128 in answer.content
    assert DES3 not in answer.content


def test_turning_the_switch_off_counts_from_the_next_message_on(world: World) -> None:
    profile = switched(world, legacy_algorithms=True)
    sent = message(world, csr(), digest="sha1")
    assert post(sent, "old").status is PKIStatus.PENDING
    EnrollmentProfile.objects.filter(pk=profile.pk).update(legacy_algorithms=False)
    refused(sent, FailInfo.BAD_ALG, profile="old")


# ----------------------------------------------------------------------- reply chain, empty content


def test_a_certificate_goes_out_alone_or_before_its_authorities(world: World) -> None:
    profiles = {
        "routers": world.profile,
        "chained": switched(world, "chained", reply_chain="chain"),
    }
    got = {}
    for slug, profile in profiles.items():
        client = ScepClient(f"http://testserver/scep/{slug}/", through(Client()))
        client.enroll(build_csr(rsa_key("alice"), "alice.example"), identity())
        request = approve(world, profile)
        got[slug] = client.poll(identity()).certificates
        assert request.certificate is None
        issued = EnrollmentRequest.objects.get(pk=request.pk).certificate
        assert issued is not None
        assert got[slug][0] == issued.certificate_der
    assert len(got["routers"]) == 1
    assert got["chained"][1:] == (world.ca.certificate_der,)


def test_an_answer_without_a_certificate_has_empty_content_or_none(world: World) -> None:
    switched(world, "absent", empty_content="absent")
    for slug, content in (("routers", b""), ("absent", None)):
        waiting = post(message(world, csr()), slug)
        assert (waiting.status, waiting.content) == (PKIStatus.PENDING, content)
        no = post(message(world, message_type="20", transaction_id="unknown"), slug)
        assert (no.status, no.content) == (PKIStatus.FAILURE, content)


# -------------------------------------------------------------------------------------- signingTime


def signed(world: World, moment: datetime | None, **pieces: Any) -> bytes:
    times = [der(UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())] if moment else []
    extra = [attribute(c.ATTR_SIGNING_TIME, time) for time in times]
    return message(world, csr(), extra_attributes=extra, **pieces)


def test_a_device_with_a_wrong_clock_is_told_so_where_the_profile_says(world: World) -> None:
    switched(world, "strict-clock", max_clock_skew=timedelta(minutes=10))
    for wrong in (
        now() - timedelta(minutes=11),
        now() + timedelta(minutes=11),
        datetime(2000, 1, 1),  # noqa: DTZ001 - written as UTC
    ):
        answer = refused(
            signed(world, wrong),
            FailInfo.BAD_TIME,
            cause="signingTime is too far off",
            profile="strict-clock",
        )
        assert answer.text.endswith("set the clock of the device")
        assert post(signed(world, wrong)).status is PKIStatus.PENDING
    refused(signed(world, None), FailInfo.BAD_TIME, profile="strict-clock")
    refused(signed(world, None, message_type="20"), FailInfo.BAD_TIME, profile="strict-clock")
    assert post(signed(world, now()), "strict-clock").status is PKIStatus.PENDING


def test_our_own_client_says_when_it_signed_where_it_has_a_clock(world: World) -> None:
    switched(world, "strict-clock", max_clock_skew=timedelta(minutes=10))
    client = ScepClient("http://testserver/scep/strict-clock/", through(Client()))
    asked = build_csr(rsa_key("alice"), "alice.example")
    assert client.enroll(asked, identity()).fail_info is FailInfo.BAD_TIME
    client.clock = now
    assert client.enroll(asked, identity()).status is PKIStatus.PENDING


# -------------------------------------------------------------------------------------- the profile


def test_the_log_says_how_a_profile_speaks(world: World) -> None:
    switched(
        world, legacy_algorithms=True, reply_chain="chain", max_clock_skew=timedelta(minutes=10)
    )
    data = AuditEntry.objects.get(event=Event.PROFILE_CREATE, subject_id="old").data
    assert (data["legacy_algorithms"], data["reply_chain"], data["empty_content"]) == (
        True,
        "chain",
        "octets",
    )
    assert data["max_clock_skew_s"] == 600
    strict = AuditEntry.objects.get(event=Event.PROFILE_CREATE, subject_id="routers").data
    assert (strict["legacy_algorithms"], strict["reply_chain"], strict["max_clock_skew_s"]) == (
        False,
        "leaf",
        None,
    )


def test_what_no_profile_can_be_is_named_and_no_row_holds_it(world: World) -> None:
    for wrong in (
        {"max_clock_skew": timedelta(seconds=5)},
        {"reply_chain": "both"},
        {"empty_content": "null"},
    ):
        with pytest.raises(ProfileInvalid):
            switched(world, **wrong)
    for column in ("reply_chain", "empty_content"):
        with pytest.raises((IntegrityError, ValidationError)), transaction.atomic():
            EnrollmentProfile.objects.update(**{column: "odd"})


def test_the_page_of_profiles_shows_what_is_accepted(world: World) -> None:
    hour = timedelta(hours=1)
    switched(
        world,
        legacy_algorithms=True,
        reply_chain="chain",
        empty_content="absent",
        max_clock_skew=hour,
    )
    page = signed_in(world.alice).get("/profiles/").content.decode()
    for text in (
        "SHA-1 and 3DES accepted",
        "the certificate, then its CAs",
        "no content",
        "1:00:00",
        "SHA-2 and AES",
    ):
        assert text in page


def test_a_waiting_device_of_a_switched_profile_costs_no_more_than_another(world: World) -> None:
    switched(
        world, legacy_algorithms=True, max_clock_skew=timedelta(minutes=10), reply_chain="chain"
    )
    counts = []
    for slug in ("routers", "old"):
        post(signed(world, now()), slug)
        poll = signed(world, now(), message_type="20", transaction_id=ALICE_ID)
        post(poll, slug)
        with CaptureQueriesContext(connection) as queries:
            assert post(poll, slug).status is PKIStatus.PENDING
        counts.append(len(queries))
    assert counts == [2, 2]
