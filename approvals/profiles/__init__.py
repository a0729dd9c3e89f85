"""Enrollment profiles: created, changed, paused and rolled over by administrators."""
