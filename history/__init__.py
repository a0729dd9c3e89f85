"""The auditors' door: all requests, all certificates, the log. Read-only."""
