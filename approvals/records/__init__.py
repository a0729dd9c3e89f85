"""Small writes and reads shared by all use cases: transitions, documents, refusals.

May touch models and rules; imports no use case.
"""
