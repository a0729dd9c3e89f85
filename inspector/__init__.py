"""The technicians' door: what a stored or pasted message says, and why it was answered so."""
