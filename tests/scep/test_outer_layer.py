"""What stands in the open in a message, before anything of it is verified."""

import pytest

from ca.x509.asn1 import der_sequence, der_set
from scep.protocol.codec import decode_pki_message, read_outer_layer, verify_message
from scep.protocol.constants import ATTR_MESSAGE_TYPE, MessageType
from scep.protocol.errors import Malformed
from tests.scep.forge import ALICE_ID, forge, message_type, sender_nonce, transaction_id


def test_a_message_is_taken_apart_once_and_then_verified() -> None:
    sent = forge()
    outer = read_outer_layer(sent)
    message = verify_message(outer)
    assert message == decode_pki_message(sent)
    assert (outer.transaction_id, outer.message_type) == (ALICE_ID.encode(), MessageType.PKCS_REQ)
    assert outer.certificate() == message.signer


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ([message_type("18")], 18),
        ([message_type("0019")], None),
        ([message_type("")], None),
        ([message_type("-1")], None),
        ([message_type("19"), message_type("17")], None),
        ([], None),
    ],
)
def test_a_message_type_is_one_short_number_or_none(
    written: list[bytes], number: int | None
) -> None:
    outer = read_outer_layer(forge(attributes=[transaction_id(), sender_nonce(), *written]))
    assert (outer.message_type, outer.transaction_id) == (number, ALICE_ID.encode())


def test_without_one_transaction_id_there_is_none() -> None:
    outer = read_outer_layer(forge(attributes=[message_type(), sender_nonce()]))
    assert outer.transaction_id == b""
    with pytest.raises(Malformed, match="transactionID"):
        verify_message(outer)


@pytest.mark.parametrize("der", [b"", b"no message", der_sequence(der_set(ATTR_MESSAGE_TYPE))])
def test_what_is_no_signed_data_has_no_outer_layer(der: bytes) -> None:
    with pytest.raises(Malformed, match="no SCEP message"):
        read_outer_layer(der)
