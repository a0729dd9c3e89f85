"""HTTP requests to other machines, guarded: checked targets, short, small, with errors of its
own.
"""
