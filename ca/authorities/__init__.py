"""Authorities and RA certificates on record: paused, renewed, checked for their end."""
