"""What a domain needs of its host, as one frozen value; what of it stands; what differs. No I/O."""
