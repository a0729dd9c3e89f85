"""The portal's own test device walks the whole loop over HTTP."""
