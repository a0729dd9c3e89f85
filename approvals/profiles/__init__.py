"""Enrollment profiles: how administrators make, change, pause and roll them over."""
