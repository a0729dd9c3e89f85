"""The log: a closed list of events, written only by `record`. Imports no other app."""
