"""The benchmark: `python -m tests.bench` compares a sync with the floor and with what one would write in an afternoon."""
