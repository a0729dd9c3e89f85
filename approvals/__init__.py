"""The registration authority (RA): requests, decisions, challenges, and the officers' pages.

The top holds what Django looks for; the rooms below it may not import it.
"""
