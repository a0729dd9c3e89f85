"""The SCEP door (RFC 8894): bytes over HTTP in, one answer out. Rules of the RA live elsewhere."""
