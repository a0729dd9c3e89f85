"""Pure rules of the RA: states, policy, decoded submissions, errors.

No framework, no clock, no database.
"""
