"""A SCEP client that breaks chosen rules, for people with a running portal and for tests."""
