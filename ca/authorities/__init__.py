"""Authorities and RA certificates on record: created, paused, checked for their end."""
