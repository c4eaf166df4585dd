"""The entry of the command line, as `connector` and as `python -m connector`."""

import gc

gc.disable()  # importing makes no garbage, and looking for it meanwhile takes a quarter of the start
from connector.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
