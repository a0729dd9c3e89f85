"""Errors of stored private keys."""


class KeyStoreError(Exception):
    """A key cannot be made, written, read or used.

    The text names subject, fault and what to do; never a secret.
    """
