"""Changes to accounts: creation, roles, password links, and notices about changes."""
