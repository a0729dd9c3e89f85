"""Challenges that another service checks: the questions, the worker that asks, the answers."""
