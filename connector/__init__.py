"""The connector: Salesforce orgs, the worker fleet, the command line and the pages."""
