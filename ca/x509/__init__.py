"""Names, extensions, requests and containers of X.509, from bytes and to bytes. Pure."""
