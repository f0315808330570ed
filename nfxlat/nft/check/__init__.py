"""What would go wrong with rules, on which packets, and what to write instead."""
