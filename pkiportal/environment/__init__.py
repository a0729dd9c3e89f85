"""Settings from environment and files, and the data folder. Imports no other part of the portal."""
