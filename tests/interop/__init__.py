"""Clients that nobody here wrote, against the whole portal over real HTTP."""
