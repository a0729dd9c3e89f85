"""Queries of pages about requests: lists, search, counts, the timeline. Read-only."""
