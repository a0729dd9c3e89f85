"""Signing with CA keys. Web code never imports this room, not even indirectly."""
