"""Guarded HTTP requests to other machines: checked targets, short, small, own errors."""
