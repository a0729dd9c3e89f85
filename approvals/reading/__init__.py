"""What pages ask about requests: lists, search, counts, the timeline. Writes nothing."""
