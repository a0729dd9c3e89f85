"""Stored messages: the bytes on the wire, kept where there is a reason."""
