"""The certification authority (CA): authorities, certificate profiles, issuance, store, status."""
