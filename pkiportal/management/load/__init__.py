"""Load for benchmarks and tests: seeded rows, devices with messages made beforehand."""
