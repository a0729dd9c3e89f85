"""Small writes and reads that every use case shares: transitions, documents, facts about refusals.

May touch models and rules; knows no use case.
"""
