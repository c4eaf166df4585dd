"""What can be kept as text: PostgreSQL holds no NUL and nothing that UTF-8 cannot say."""

import re
from collections.abc import Iterable

from connector.errors import BadInput

_UNKEPT = re.compile("[\0\ud800-\udfff]")


def can_be_kept(texts: Iterable[str]) -> bool:
    """Tell whether none of the texts holds a NUL or a surrogate, as which Python reads bytes that are not UTF-8."""
    return not any(map(_UNKEPT.search, texts))


def check(texts: Iterable[str]) -> None:
    """Raise BadInput unless all of the texts can be kept."""
    if not can_be_kept(texts):
        raise BadInput("A text holds a character that cannot be kept, such as a NUL: type it again without that.")
