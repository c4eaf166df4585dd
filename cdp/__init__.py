"""The customer data platform: records, people, activities and numbers; it knows nothing of where rows come from."""
