"""Keys of answers to devices that cannot decrypt, stretched from their challenge password once for
each process.

A device that polls after its SUCCESS would otherwise cost a stretching each time, which is as dear
as ten signatures.
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

    The passwords themselves are not kept.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, PasswordKey] = OrderedDict()

    def of(self, signer_spki_sha256: bytes, password: str) -> PasswordKey:
        """Return the key under which answers to this signer are wrapped; the salt is the device's
        own.
        """
        mark = sha256(signer_spki_sha256 + password.encode()).digest()
        with self._lock:
            known = self._known.get(mark)
            if known is not None:
                self._known.move_to_end(mark)
                return known
        made = stretch_password(password, salt=os.urandom(SALT_BYTES))
        with self._lock:
            self._known[mark] = made
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return made


reply_keys = ReplyKeys()
