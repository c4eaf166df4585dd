"""Activities: held against an independent computation from the history log of simulated orgs."""
