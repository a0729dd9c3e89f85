"""The REST door for programs. REST framework is imported here and nowhere else."""
