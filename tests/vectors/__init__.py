"""Messages recorded from real programs, and the tool that records them."""
