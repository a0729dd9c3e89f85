"""The log: one closed list of events, and `record` as the only way in. Knows no other package."""
