"""The path of a request before Django sees it: bodies, limits, middleware, refusals."""
