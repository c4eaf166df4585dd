"""`python -m connector` is the command line, for processes that start others of their own installation."""

from connector.cli import main

main()
