"""SOQL: from text to predicates over rows."""
