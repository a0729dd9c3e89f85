"""The store: certificates on record, versions of profiles, revocation, barred keys."""
