"""From an approval to a certificate: prepare, sign, record, and the sweep that repeats it.

The only room of the RA that reaches `ca.signing`; it runs in the signing worker.
"""
