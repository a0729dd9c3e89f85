"""Hostile input by the million: mutated messages through every reader, and through the SCEP door
itself.
"""
