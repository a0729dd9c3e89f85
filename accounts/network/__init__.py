"""The client's address, with or without proxies in front of the portal."""
