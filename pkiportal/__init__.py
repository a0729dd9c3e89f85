"""The composition root: settings, addresses, commands, processes."""

#: The version of this code; a test compares it with pyproject.toml.
__version__ = "0.2.0"
