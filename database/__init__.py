"""The base of every app: triggers, prebuilt statements, identifiers, the clock, encryption."""
