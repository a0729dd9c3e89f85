"""The commands of `./portal`, one module each. A command translates, the use cases below decide."""
