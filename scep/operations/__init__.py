"""What the operations of SCEP do, one module for each kind."""
