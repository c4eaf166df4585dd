"""Proof that every change arrives: faults against a simulated org and a real PostgreSQL, and a table of them."""
