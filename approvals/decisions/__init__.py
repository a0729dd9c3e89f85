"""Decisions of officers: approve, reject, revoke, and the digest of what the officer saw."""
