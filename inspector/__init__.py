"""The technicians' door: the content of stored or pasted messages, and why each was answered so."""
