"""The demo: a throw-away device, and what a person sees of it."""
