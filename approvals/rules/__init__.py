"""Pure rules of the RA: states, policy, what a door hands in, what it refuses.

No framework, no clock, no database.
"""
