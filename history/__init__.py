"""The auditors' door: all requests, all certificates, the log. Reads only."""
