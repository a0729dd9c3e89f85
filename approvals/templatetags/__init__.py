"""Template filters of the RA's pages."""
