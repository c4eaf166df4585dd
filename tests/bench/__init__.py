"""The benchmark: `python -m tests.bench` compares a sync with the floor, and with a script of an afternoon."""
