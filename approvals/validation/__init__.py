"""Challenges that another service knows: the questions, the worker that asks, the answers."""
