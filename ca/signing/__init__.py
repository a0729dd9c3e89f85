"""Where CA keys are used. Web code never imports this room, not even indirectly."""
