"""The registration authority (RA): requests, decisions, challenges, and the officers' pages.

The top holds Django's modules; the rooms below may not import them.
"""
