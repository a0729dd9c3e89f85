"""The officers' door: views, forms, filters, polling fragments.

Views translate, rooms below decide. Other doors may import its filters and fragments only.
"""
