"""Challenges for programs: ordered over REST, or read off the page of NDES."""
