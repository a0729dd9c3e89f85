"""Keys of answers to devices that cannot decrypt, derived from their challenge passwords.

A process derives a key once: a device that polls after its SUCCESS would otherwise cost a
derivation each time, as much as ten signatures.
"""

import os
import threading
from collections import OrderedDict
from hashlib import sha256

from scep.protocol.messages import PasswordKey
from scep.protocol.password import SALT_BYTES, stretch_password

_MOST = 256


class ReplyKeys:
    """The last keys of this process, by device and password.

    The passwords themselves are not stored.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, PasswordKey] = OrderedDict()

    def of(self, signer_spki_sha256: bytes, password: str) -> PasswordKey:
        """Return the key that wraps answers to this signer; the salt is the device's own."""
        mark = sha256(signer_spki_sha256 + password.encode()).digest()
        with self._lock:
            known = self._known.get(mark)
            if known is not None:
                self._known.move_to_end(mark)
                return known
        password_key = stretch_password(password, salt=os.urandom(SALT_BYTES))
        with self._lock:
            self._known[mark] = password_key
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return password_key


reply_keys = ReplyKeys()
