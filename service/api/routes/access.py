"""GET /access: whose key a request shows, and what it may do."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from service.access.key import ApiKey, KeyScope
from service.api.dependencies import CallersKey

router = APIRouter(tags=["health"])


class KeyInUse(BaseModel):
    """A key as its holder may see it."""

    id: str = Field(description="no secret; as in `lka-reid keys list`")
    name: str
    scopes: list[KeyScope]
    expires: datetime | None = Field(description="from when on it is refused, UTC; null for never")
    collections: list[str] | None = Field(
        default=None, description="the collections that it reaches; null for all"
    )

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """The key as it goes over the wire."""
        return cls(
            id=key.id,
            name=key.name,
            scopes=list(key.scopes),
            expires=key.expires,
            collections=None if key.collections is None else list(key.collections),
        )


class AccessAnswer(BaseModel):
    """Who asks, and what they may do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": {
                        "id": "3f9a1c2e",
                        "name": "Ada",
                        "scopes": ["query"],
                        "expires": None,
                        "collections": ["north"],
                    },
                    "scopes": ["query"],
                }
            ]
        }
    )

    key: KeyInUse | None = Field(description="null where the service needs none")
    scopes: list[KeyScope] = Field(description="what this request may do, with what its scopes imply")


@router.get("/access", summary="Look at the key in use", response_description="The key, and what it may do")
async def access(key: CallersKey) -> AccessAnswer:
    """Tell a client, before it tries, what it may do. A key that is not known is answered by 401."""
    permitted = [scope for scope in KeyScope if key is None or key.permits(scope)]
    return AccessAnswer(key=None if key is None else KeyInUse.of(key), scopes=permitted)
