"""All that the checker may say: one table for a statement, one for what stands around it, one for the host."""
