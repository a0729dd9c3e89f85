"""Keys of answers to devices that cannot decrypt, derived from their challenge passwords.

A process derives a key once: a device that polls after its SUCCESS would otherwise cost a
derivation each time, as much as ten signatures.
"""

import os
from hashlib import sha256

from database.caches import Cache, register
from scep.protocol.messages import PasswordKey
from scep.protocol.password import SALT_BYTES, stretch_password

_MOST = 256


class ReplyKeys:
    """The last keys of this process, by device and password.

    The passwords themselves are not stored.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._keys: Cache[bytes, PasswordKey] = Cache(most=most)

    def of(self, signer_spki_sha256: bytes, password: str) -> PasswordKey:
        """Return the key that wraps answers to this signer; the salt is the device's own."""
        mark = sha256(signer_spki_sha256 + password.encode()).digest()
        cached = self._keys.get(mark)
        if cached is not None:
            return cached
        return self._keys.put(mark, stretch_password(password, salt=os.urandom(SALT_BYTES)))

    def forget(self) -> None:
        """Stretch afresh next time."""
        self._keys.clear()


reply_keys = ReplyKeys()
register("keys of answers", reply_keys.forget)
