"""What goes into a certificate: the profile's rules, the CSR's review, the bytes, the lint.

Pure.
"""
