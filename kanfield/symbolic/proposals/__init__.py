"""What a formula may look like: small networks that samples propose, one idea a module."""
