"""GetCACaps lists the accepted features, in an order and spelling that clients read."""

from __future__ import annotations

from scep.protocol.capabilities import capabilities


def test_the_default_offers_no_old_algorithm() -> None:
    offered = capabilities(renewal=True, next_ca=False, legacy=False)
    assert offered == b"AES\nPOSTPKIOperation\nRenewal\nSHA-256\nSHA-384\nSHA-512\nSCEPStandard"


def test_everything_is_offered_when_everything_is_on() -> None:
    offered = capabilities(renewal=True, next_ca=True, legacy=True).split(b"\n")
    assert offered[:4] == [b"AES", b"DES3", b"GetNextCACert", b"POSTPKIOperation"]
    assert b"SHA-1" in offered


def test_renewal_is_offered_only_where_it_is_allowed() -> None:
    assert b"Renewal" not in capabilities(renewal=False, next_ca=False, legacy=False)
