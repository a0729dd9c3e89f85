"""The parts that commands share: arguments, output, the catalogue. The commands are doors."""
