"""A SCEP client that breaks any rule it is told to, for a person against a running portal and for
the tests.
"""
