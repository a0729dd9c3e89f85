"""Where a request comes from, and what proxies say about it."""
