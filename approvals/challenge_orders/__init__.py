"""Challenges for programs: ordered over REST, or read from the NDES page."""
