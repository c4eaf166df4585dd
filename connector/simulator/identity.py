"""Who a session belongs to: the identity URL, userinfo and the discovery document."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .instance import Instance
from .users import User
from .wire import NEWEST, Call, bearer_session, open_route, reply

RESOURCES = {
    "enterprise": "/services/Soap/c/{version}/",
    "metadata": "/services/Soap/m/{version}/",
    "partner": "/services/Soap/u/{version}/",
    "rest": "/services/data/v{version}/",
    "sobjects": "/services/data/v{version}/sobjects/",
    "search": "/services/data/v{version}/search/",
    "query": "/services/data/v{version}/query/",
    "recent": "/services/data/v{version}/recent/",
}


def identity_url(instance: Instance, user: User) -> str:
    """The URL that stands for a user of an org."""
    return f"{instance.login_url}/id/{instance.org.org_id}/{user.id}"


def identity(call: Call) -> Response:
    """`GET /id/ORG/USER`: the user behind the session, as the identity URL shows it."""
    user = bearer_session(call).user
    if (call.params["org_id"], call.params["user_id"]) != (call.instance.org.org_id, user.id):
        return reply({"error": "forbidden"}, 403)
    wanted = call.query.get("version", "{version}").replace("latest", f"{NEWEST}.0")
    now = call.instance.org.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return reply(
        _common(call, user, wanted)
        | {
            "id": identity_url(call.instance, user),
            "asserted_user": True,
            "username": user.username,
            "nick_name": user.username.partition("@")[0],
            "display_name": user.name,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "timezone": "Etc/UTC",
            "mobile_phone": None,
            "mobile_phone_verified": False,
            "is_lightning_login_user": False,
            "status": {"created_date": None, "body": None},
            "last_modified_date": now,
        }
    )


def userinfo(call: Call) -> Response:
    """`GET /services/oauth2/userinfo`: the same user in OpenID's words."""
    user = bearer_session(call).user
    return reply(
        _common(call, user, "{version}")
        | {
            "sub": identity_url(call.instance, user),
            "preferred_username": user.username,
            "nickname": user.username.partition("@")[0],
            "name": user.name,
            "given_name": user.first_name,
            "family_name": user.last_name,
            "zoneinfo": "Etc/UTC",
            "profile": f"{call.instance.url}/{user.id}",
            "picture": f"{call.instance.url}/profilephoto/005/F",
            "address": {},
            "is_app_installed": True,
        }
    )


def discovery(call: Call) -> Response:
    """`GET /.well-known/openid-configuration`: where the endpoints are."""
    base = call.instance.login_url
    return reply(
        {
            "issuer": base,
            **{
                f"{name}_endpoint": f"{base}/services/oauth2/{path}"
                for name, path in (
                    ("authorization", "authorize"),
                    ("token", "token"),
                    ("revocation", "revoke"),
                    ("introspection", "introspect"),
                    ("userinfo", "userinfo"),
                )
            },
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        }
    )


def _common(call: Call, user: User, version: str) -> dict[str, Any]:
    urls = {name: call.instance.url + path.replace("{version}", version) for name, path in RESOURCES.items()}
    return {
        "user_id": user.id,
        "organization_id": call.instance.org.org_id,
        "email": user.username,
        "email_verified": True,
        "photos": {
            "picture": f"{call.instance.url}/profilephoto/005/F",
            "thumbnail": f"{call.instance.url}/profilephoto/005/T",
        },
        "urls": urls,
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 0,
    }


ROUTES = [
    open_route("/id/{org_id}/{user_id}", identity, ["GET", "POST"]),
    open_route("/services/oauth2/userinfo", userinfo, ["GET", "POST"]),
    open_route("/.well-known/openid-configuration", discovery),
]
