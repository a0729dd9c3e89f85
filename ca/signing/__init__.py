"""CA keys: creates authorities, signs certificates and CRLs. Web code never imports this room."""
