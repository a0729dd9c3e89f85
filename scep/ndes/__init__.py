"""The NDES page, from which MDMs read one-time challenges."""
