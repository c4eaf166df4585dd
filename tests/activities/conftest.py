"""What the tests of activities share: those of the connector, and a site that may begin anew."""

from tests.connector.conftest import _no_pauses, ca_dir, make_site, site

__all__ = ["_no_pauses", "ca_dir", "make_site", "site"]
