"""Hostile input by the million: mutated messages through every reader and the SCEP door."""
