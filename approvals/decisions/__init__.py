"""Decisions of officers: approve, reject, revoke, and the digest of the page the officer saw."""
