"""/collections: galleries apart, each with records, vectors, cameras and a quota of its own."""

from __future__ import annotations

from typing import Annotated, Self

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from index import DEFAULT, Gallery, GalleryClosedError, Quota, Usage
from index.collections import NAME, NAME_RULE
from index.quota import MOST as LARGEST
from service.api.dependencies import Audit, CallersKey, SharedResources
from service.api.error_kinds import (
    COLLECTION_CONFLICT,
    COLLECTION_OUT_OF_REACH,
    DISK_FULL,
    GALLERY_DAMAGED,
    INVALID_FIELDS,
    MALFORMED,
    NOT_READY,
    TIMEOUT,
    TOO_LARGE,
    UNKNOWN_COLLECTION,
)
from service.api.errors import ServiceError
from service.api.forms import only_fields_of
from service.api.problems import responses

router = APIRouter(prefix="/collections", tags=["collections"])

NameInPath = Annotated[str, Path(max_length=63, description="of the collection", examples=["north"])]
of_one = responses(UNKNOWN_COLLECTION, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED)
of_a_form = (MALFORMED, TIMEOUT, TOO_LARGE, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED, DISK_FULL)


class QuotaForm(BaseModel):
    """How much a collection may hold; a limit that is not given is none."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    max_images: int | None = Field(
        default=None, ge=0, le=LARGEST, description="images enrolled", examples=[100000]
    )
    max_bytes: int | None = Field(
        default=None, ge=0, le=LARGEST, description="bytes of its database in use", examples=[5000000000]
    )

    def quota(self) -> Quota:
        """As the gallery takes it."""
        return Quota(self.max_images, self.max_bytes)


class CollectionForm(QuotaForm):
    """A collection to be made."""

    name: str = Field(
        description=NAME_RULE, examples=["north"], json_schema_extra={"pattern": f"^{NAME.pattern}$"}
    )


class CollectionAnswer(BaseModel):
    """A collection, and what it holds."""

    name: str = Field(examples=["north"])
    images: int = Field(description="enrolled", examples=[1284])
    bytes: int = Field(description="of its database in use", examples=[153042944])
    max_images: int | None = Field(description="it may hold; null for no limit", examples=[100000])
    max_bytes: int | None = Field(description="it may hold; null for no limit", examples=[None])

    @classmethod
    def of(cls, name: str, gallery: Gallery) -> Self:
        """As it goes over the wire. Raises GalleryClosedError where it was dropped meanwhile."""
        usage: Usage = gallery.quotas.usage()
        quota: Quota = gallery.quotas.quota()
        return cls(
            name=name,
            images=usage.images,
            bytes=usage.bytes,
            max_images=quota.images,
            max_bytes=quota.bytes,
        )


class CollectionsAnswer(BaseModel):
    """The collections that the key reaches."""

    collections: list[CollectionAnswer]


@router.get(
    "",
    summary="List the collections",
    response_description="Those that the key reaches; the default one first",
    responses=responses(NOT_READY, GALLERY_DAMAGED),
)
async def collections(resources: SharedResources, key: CallersKey) -> CollectionsAnswer:
    """The collections, with what each holds and may hold."""
    mine = [one for one in resources.collections.items() if key is None or key.reaches(one[0])]
    found = await to_thread.run_sync(_all, mine, limiter=resources.gallery_limiter)
    return CollectionsAnswer(collections=found)


@router.post(
    "",
    status_code=201,
    summary="Make a collection",
    response_description="Made, durably; `Location` is its path",
    responses=responses(*of_a_form, COLLECTION_CONFLICT),
    dependencies=[Depends(only_fields_of(CollectionForm))],
)
async def create(
    request: Request,
    response: Response,
    form: Annotated[CollectionForm, Form(media_type="multipart/form-data")],
    resources: SharedResources,
    audit: Audit,
) -> CollectionAnswer:
    """Make an empty collection. Requests name it by `collection` in their URL.

    Nothing is shared between collections: the same image id may be enrolled in two, a search is of one, and
    cameras are known in each by its own images.
    """
    if NAME.fullmatch(form.name):
        audit.collection = form.name
    gallery = await to_thread.run_sync(
        resources.collections.create, form.name, form.quota(), limiter=resources.gallery_limiter
    )
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/collections/{form.name}"
    return await to_thread.run_sync(
        CollectionAnswer.of, form.name, gallery, limiter=resources.gallery_limiter
    )


@router.get(
    "/{name}",
    summary="Look at a collection",
    response_description="What it holds and may hold",
    responses={**of_one, **responses(COLLECTION_OUT_OF_REACH)},
)
async def collection(name: NameInPath, resources: SharedResources, key: CallersKey) -> CollectionAnswer:
    """A collection, with what it holds and may hold."""
    if key is not None and not key.reaches(name):
        raise ServiceError(COLLECTION_OUT_OF_REACH, f"this key does not reach the collection {name!r}")
    gallery = resources.collections.get(name)
    return await to_thread.run_sync(CollectionAnswer.of, name, gallery, limiter=resources.gallery_limiter)


@router.put(
    "/{name}/quota",
    summary="Set a collection's quota",
    response_description="Set, durably",
    responses=responses(*of_a_form, UNKNOWN_COLLECTION),
    dependencies=[Depends(only_fields_of(QuotaForm, QuotaForm.model_fields))],
    openapi_extra={"requestBody": {"required": False}},  # none takes both limits away
)
async def set_quota(
    name: NameInPath,
    form: Annotated[QuotaForm, Form(media_type="multipart/form-data")],
    resources: SharedResources,
) -> CollectionAnswer:
    """Set both limits; one that is not sent is none. What is enrolled stays, also where it is more."""
    gallery = resources.collections.get(name)
    await to_thread.run_sync(gallery.quotas.set, form.quota(), limiter=resources.gallery_limiter)
    return await to_thread.run_sync(CollectionAnswer.of, name, gallery, limiter=resources.gallery_limiter)


@router.delete(
    "/{name}",
    status_code=204,
    summary="Drop a collection",
    response_description="Gone, with all images, records, vectors, cameras and verdicts in it",
    responses={**of_one, **responses(COLLECTION_CONFLICT)},
)
async def drop(name: NameInPath, resources: SharedResources) -> None:
    """Drop a collection and all that is in it, durably. The default one cannot be dropped."""
    await to_thread.run_sync(resources.drop, name, limiter=resources.gallery_limiter)


def _all(found: list[tuple[str, Gallery]]) -> list[CollectionAnswer]:
    answers = []
    for name, gallery in found:
        try:
            answers.append(CollectionAnswer.of(name, gallery))
        except GalleryClosedError:
            if name == DEFAULT:
                raise
            # It was dropped meanwhile.
    return answers
