"""Text to paste into a device, one renderer for each client. Pure."""
