"""Addresses that mean the machine that reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.device_setup.configurations.addresses import names_this_machine


@pytest.mark.parametrize(
    "host",
    [
        *("LOCALHOST", "localhost.", "portal.localhost", "localhost.localdomain", "ip6-localhost"),
        *("127.0.0.2", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "0"),
        *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.9]"),
    ],
)
@pytest.mark.parametrize("form", ["http://{}/", "https://{}:8443", "http://{}:8000/scep/x/"])
def test_an_address_of_the_machine_itself(host: str, form: str) -> None:
    assert names_this_machine(form.format(host))


@given(st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_the_whole_loopback_network_is_the_machine_itself(address: object) -> None:
    assert names_this_machine(f"http://{address}:8000/")


@pytest.mark.parametrize(
    "host",
    [
        "pki.example",
        "localhost.example",
        "mylocalhost",
        "10.0.0.1",
        "128.0.0.1",
        "[2001:db8::1]",
        "127.example",
        "1.1",
    ],
)
def test_another_address_is_not(host: str) -> None:
    assert not names_this_machine(f"http://{host}:8000/")


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=30))
def test_every_host_gets_an_answer(host: str) -> None:
    assert names_this_machine(f"http://{host}/") in {True, False}
