"""Signing in: sessions, known browsers, limits on wrong passwords."""
