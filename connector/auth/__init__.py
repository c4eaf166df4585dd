"""Signing in to an org: what a user hands us, how it becomes an access token, and what a refusal means."""

from connector.auth.credentials import (
    AccessToken,
    ClientCredentials,
    Credentials,
    Jwt,
    Password,
    RefreshToken,
    dump_credentials,
    load_credentials,
    parse_credentials,
)
from connector.auth.signin import Login, sign_in

__all__ = [
    "AccessToken",
    "ClientCredentials",
    "Credentials",
    "Jwt",
    "Login",
    "Password",
    "RefreshToken",
    "dump_credentials",
    "load_credentials",
    "parse_credentials",
    "sign_in",
]
