"""The portal's own test device runs the whole loop over HTTP."""
