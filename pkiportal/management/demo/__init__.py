"""The demo: a throw-away device and its output."""
