"""Rules of the documents broken on purpose, one at a time, and whether a test notices."""
