"""The processes of a portal: started, watched, started again."""
