"""Template filters of the inspector's pages."""
