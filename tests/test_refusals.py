"""What a refused sign-in means: a stable code, a sentence, a remedy, and nothing that the server wrote itself."""

import pytest

from connector.auth.refusals import refusal
from connector.errors import NeedsAttention, Transient


@pytest.mark.parametrize("error", ["rate_limit_exceeded", "unknown_error"])
def test_a_busy_token_endpoint_is_transient(error: str) -> None:
    assert isinstance(refusal(error, "retry your request"), Transient)


@pytest.mark.parametrize(
    ("error", "description", "code", "says"),
    [
        ("invalid_grant", "Expired Access/Refresh Token ", "invalid_grant", "revoked"),
        ("invalid_grant", "a sentence nobody has seen", "invalid_grant", "does not accept"),
        ("invalid_client", "app must be installed into org", "invalid_client", "not installed"),
        ("access-denied", "end-user denied authorization", "access_denied", "declined"),
        ("OAUTH_APP_BLOCKED", "", "oauth_app_blocked", "blocked"),
        ("brand_new_error", "secret", "brand_new_error", "brand_new_error"),
        ("<script> secret", "secret", "refused", "refused"),
    ],
)
def test_refusals_have_a_code_a_meaning_and_a_remedy(error: str, description: str, code: str, says: str) -> None:
    found = refusal(error, description)
    assert isinstance(found, NeedsAttention)
    assert found.code == code
    assert says in found.message
    assert found.remedy
    assert "secret" not in f"{found.message}{found.remedy}".replace("id or secret", "")
