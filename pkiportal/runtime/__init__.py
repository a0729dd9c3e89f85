"""The processes of a portal: started, watched, restarted."""
