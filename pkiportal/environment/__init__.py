"""Settings read from environment and files, and the data folder. Imports nothing of the portal."""
