"""Authorities and RA certificates on record: made, paused, watched for their end."""
