"""Device configurations to paste, the key that signs them, and the tested clients."""
