"""The content of certificates: the profile's rules, the CSR's review, the bytes, the lint.

Pure.
"""
