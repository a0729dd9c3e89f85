"""The RA's keys and certificates: loaded, renewed, and keys that encrypt answers."""
