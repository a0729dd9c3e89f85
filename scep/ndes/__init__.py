"""The page of NDES, for MDMs that read one-time challenges off it."""
