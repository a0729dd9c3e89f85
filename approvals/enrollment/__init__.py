"""From a decoded message to a request: submit, repeat, poll, renew, retrieve."""
