"""Names, extensions, requests and containers of X.509: parsed and encoded. Pure."""
