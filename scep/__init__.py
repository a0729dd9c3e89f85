"""The SCEP door (RFC 8894): HTTP and bytes in, one answer out. No rule of the RA lives here."""
