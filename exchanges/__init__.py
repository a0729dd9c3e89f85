"""Stored messages: what stood on the wire, where there is a reason to keep it."""
