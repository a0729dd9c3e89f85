"""Clients of other authors, against the whole portal over real HTTP."""
