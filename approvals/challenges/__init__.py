"""Challenges of the portal: one-time, static, lists; lock-outs and expected devices."""
