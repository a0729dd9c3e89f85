"""Configurations to paste into a device, the key that signs them, the clients that were tried."""
