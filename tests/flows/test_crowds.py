"""Caps on open requests: by network, with a reserve for known ones, never a final refusal."""

import threading
from collections.abc import Callable
from unittest import mock

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.network.addresses import network_of
from approvals.decisions.decide import reject_request
from approvals.enrollment.limits import FRESH_SECONDS, OpenCounter, open_requests
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.rules.policy import RenewalPolicy
from approvals.rules.states import State
from audit.models import AuditEntry, RepeatedEvent
from scep.protocol.constants import PKIStatus
from scep.transport import HttpError
from tests.approvals.enrollment.renewing import ALWAYS, NAME, PENDING, certified, renew, told
from tests.flows.wire import causes, message, post
from tests.pages import create_requests, signed_in
from tests.world import Device, World, create_profile, later, now, principal_of


def device(number: int, address: str, profile: str = "routers") -> Device:
    return Device.named(f"d{number}.example", f"device-{number}", profile, REMOTE_ADDR=address)


def capped(world: World, **caps: int) -> EnrollmentProfile:
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(**caps)
    world.profile.refresh_from_db()
    open_requests.forget()
    return world.profile


def filled(world: World, number: int, address: str = "203.0.113.9") -> None:
    """Let so many requests be open from one network."""
    names = [f"other-{count}.example" for count in range(number)]
    create_requests(world.profile, names, address=address, network=network_of(address))
    open_requests.forget()


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8:7::1", "2001:db8:7::ffff:2", True),
        ("2001:db8:7:0:ffff:ffff:ffff:ffff", "2001:db8:7::", True),
        ("fe80::1", "fe80:0:0:0:aaaa:bbbb:cccc:dddd", True),
        ("::ffff:198.51.100.7", "198.51.100.7", True),
        ("2001:db8:7:1::1", "2001:db8:7:2::1", False),
        ("198.51.100.7", "198.51.100.8", False),
        ("::ffff:198.51.100.7", "::ffff:198.51.100.8", False),
    ],
)
def test_the_cap_of_an_address_counts_its_network(
    world: World, first: str, second: str, is_one: bool
) -> None:
    capped(world, max_open_per_address=2)
    for number in (1, 2):
        assert device(number, first).enroll().status is PKIStatus.PENDING
    third = device(3, second)
    if is_one:
        assert third.is_told_to_wait()
        assert causes() == ["too many open requests"]
    else:
        assert third.enroll().status is PKIStatus.PENDING


def test_a_full_profile_answers_503_with_a_time_and_opens_nothing(world: World) -> None:
    capped(world, max_open_requests=0)
    answer = post(message(world))
    assert (answer.http, answer.body, answer.headers["Retry-After"]) == (
        503,
        b"busy, try again later\n",
        "300",
    )
    assert answer.headers["Content-Type"] == "text/plain"
    assert not EnrollmentRequest.objects.exists()
    assert not EnrollmentTransaction.objects.exists()
    entry = AuditEntry.objects.get(event="message:refuse")
    assert (entry.data["cause"], entry.data["retry_after_s"]) == (
        "routers: too many open requests",
        300,
    )


def test_a_message_that_had_to_wait_is_kept_with_its_cause(world: World) -> None:
    capped(world, max_open_requests=0)
    assert device(1, "192.0.2.1").is_told_to_wait()
    page = signed_in(world.alice).get("/inspector/messages/").content.decode()
    assert "HTTP 503" in page
    assert "too many open requests" in page


@pytest.mark.parametrize("most", [10, 19, 20, 37, 50])
def test_a_tenth_is_kept_for_networks_that_have_a_certificate_of_the_profile(
    world: World, most: int
) -> None:
    capped(world, max_open_requests=most)
    reserve = most // 10
    create_requests(
        world.profile,
        ["of-old.example"],
        state=State.PENDING,
        address="2001:db8:5::1",
        network="2001:db8:5::/64",
    )
    certified(world, device(1, "2001:db8:6::1"))
    EnrollmentRequest.objects.filter(address="2001:db8:5::1").update(state=State.REJECTED)
    filled(world, most - reserve)
    assert device(2, "2001:db8:5::2").is_told_to_wait()
    for number in range(reserve):
        assert device(2 + number, "2001:db8:6::ffff").enroll().status is PKIStatus.PENDING
    assert device(8, "2001:db8:6::ffff").is_told_to_wait()


def test_a_network_that_another_profile_has_issued_to_is_not_known(world: World) -> None:
    capped(world, max_open_requests=10)
    create_profile(world.ca, "cameras")
    certified(world, device(1, "192.0.2.1", "cameras"))
    filled(world, 9)
    assert device(2, "192.0.2.1").is_told_to_wait()


@pytest.mark.usefixtures("no_waiting")
def test_a_renewal_takes_a_place_that_is_kept(world: World) -> None:
    renewal = RenewalPolicy(mode="officer", window=ALWAYS)
    profile = create_profile(world.ca, "cameras", renewal=renewal)
    old = certified(world, Device.named(NAME, profile="cameras", REMOTE_ADDR="192.0.2.1"))
    EnrollmentProfile.objects.filter(pk=profile.pk).update(max_open_requests=10)
    create_requests(profile, [f"other-{count}.example" for count in range(9)])
    open_requests.forget()
    assert told(renew(old, profile="cameras")) == PENDING
    assert device(2, "192.0.2.2", "cameras").is_told_to_wait()


def repeats(one: Device, world: World) -> None:
    """The device is handed its answer again and polls."""
    assert one.enroll().status is PKIStatus.PENDING
    assert one.poll().status is PKIStatus.PENDING


def asks_again(one: Device, world: World) -> None:
    """It was refused, and begins again in the same transaction once it may."""
    request = EnrollmentRequest.objects.get(common_name=one.name)
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="wrong site", now=now()
    )
    assert "wrong site" in str(one.enroll().fail_info_text)
    with mock.patch("django.utils.timezone.now", return_value=later(hours=25)):
        assert one.enroll().status is PKIStatus.PENDING


def asks_for_more(one: Device, world: World) -> None:
    """It has a certificate, and asks for other content in the same transaction."""
    certified(world, one)
    assert one.enroll(dns_names=["more.example"]).status is PKIStatus.PENDING


def sends_another_transaction(one: Device, world: World) -> None:
    """The same key under another transactionID meets its open request."""
    assert one.enroll(transaction_id="another").status is PKIStatus.PENDING


def takes_its_certificate(one: Device, world: World) -> None:
    """It was decided on while the profile was full."""
    certified(world, one)
    assert one.poll().status is PKIStatus.SUCCESS


@pytest.mark.parametrize(
    "act", [repeats, asks_again, asks_for_more, sends_another_transaction, takes_its_certificate]
)
def test_a_known_transaction_never_meets_a_cap(
    world: World, act: Callable[[Device, World], None]
) -> None:
    one = device(1, "192.0.2.1")
    assert one.enroll().status is PKIStatus.PENDING
    capped(world, max_open_requests=0, max_open_per_address=0)
    act(one, world)


def test_the_counter_counts_afresh_after_its_time_and_what_it_opened_itself(world: World) -> None:
    counter = OpenCounter(fresh=FRESH_SECONDS)
    assert counter.count(world.profile, "2001:db8::1") == 0
    counter.opened(world.profile, "2001:db8::2")
    assert counter.count(world.profile, "2001:db8::3") == 1
    assert counter.count(world.profile, "2001:db8:0:1::3") == 0
    counter.forget()
    assert counter.count(world.profile, "2001:db8::1") == 0


@pytest.mark.usefixtures("transactional_db")
def test_many_at_once_from_one_network_pass_the_cap_by_no_more_than_there_are_threads(
    world: World,
) -> None:
    """The count is a lid, not a quota (docs/adr/0011): a device told to wait opened nothing."""
    capped(world, max_open_per_address=3)
    devices = [device(number, f"2001:db8:9::{number}") for number in range(1, 9)]
    for one in devices:
        one.scep.get_ca_cert()
    gate, statuses = threading.Barrier(8), list[str]()

    def run(one: Device) -> None:
        try:
            gate.wait()
            statuses.append(one.enroll().status.name)
        except HttpError as error:
            statuses.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(one,)) for one in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened, waits = (
        statuses.count("PENDING"),
        [text for text in statuses if "HTTP 503 busy" in text],
    )
    assert opened + len(waits) == 8
    assert opened >= 3
    assert EnrollmentRequest.objects.count() == opened
    assert sum(row.count + 1 for row in RepeatedEvent.objects.all()) == len(waits)
    open_requests.forget()
    with pytest.raises(HttpError, match="HTTP 503 busy"):
        Device.named("late.example", "alice", REMOTE_ADDR="2001:db8:9::ffff").enroll()


def test_the_network_of_a_request_never_changes(world: World) -> None:
    device(1, "2001:db8:9::1").enroll()
    assert EnrollmentRequest.objects.get().network == "2001:db8:9::/64"
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        EnrollmentRequest.objects.update(network="192.0.2.1")
