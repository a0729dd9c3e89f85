"""Challenges of the portal: one-time, static, in lists; who is locked out, which devices may
ask.
"""
