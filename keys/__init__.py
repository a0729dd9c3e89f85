"""Private keys in files. Few packages may import it; the contract names them."""
