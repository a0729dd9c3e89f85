"""SCEP messages from bytes and to bytes (RFC 8894). Pure: no framework, no clock, no randomness."""
