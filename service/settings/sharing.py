"""Settings of what replicas of the service share: a gallery on Milvus, objects, and the shared store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.settings.password import read_password

PREFIX: Final = "LKA_REID_"
MILVUS_PREFIX: Final = "lka_reid"
SHARED_NAME: Final = "lka-reid"


def _without_user(url: str) -> str:
    _, found, rest = url.partition("://")
    if found and ("@" in rest.partition("/")[0] or "?" in rest):
        raise ValueError("keys are taken from the variables of AWS' own tools, and from no URL")
    return url


class SharingSettings(BaseSettings):
    """See `service.settings.fields.Settings`, which has them all."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    gallery: Literal["local", "milvus"] = Field(
        default="local",
        description="where the gallery is: in the data directory, or on Milvus, for several replicas",
    )
    milvus_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/@]+/?$",
        description="address of Milvus",
        json_schema_extra={"accepts": "http://host:19530 or https://host:port"},
    )
    milvus_token: SecretStr | None = Field(
        default=None,
        description="what Milvus asks for, where it does",
        json_schema_extra={"accepts": "user:password, or a key of Milvus"},
    )
    milvus_prefix: str = Field(
        default=MILVUS_PREFIX,
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="what the names of our collections in Milvus begin with, and of our objects; another one "
        "is another gallery, with keys and an audit log of its own",
        json_schema_extra={"accepts": "1 to 63 of a-z 0-9 _, of which the first is a letter"},
    )
    milvus_index: Literal[
        "FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "DISKANN", "SCANN", "GPU_CAGRA", "IVF_RABITQ"
    ] = Field(default="FLAT", description="kind of the vector index of Milvus; FLAT is exact")
    milvus_timeout_s: float = Field(
        default=10.0, gt=0, le=600, description="s that Milvus is given to answer a call"
    )
    objects_url: Annotated[str, AfterValidator(_without_user)] | None = Field(
        default=None,
        min_length=1,
        description="object store of images and strips, with a gallery on Milvus; what S3 needs besides is "
        "taken from the variables of AWS' own tools",
        json_schema_extra={"accepts": "s3://bucket/prefix without keys, or a folder that all replicas see"},
    )
    objects_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/@]+/?$",
        description="address of an object store that speaks S3 and is not AWS'",
        json_schema_extra={"accepts": "http://host:port or https://host"},
    )
    shared_url: SecretStr | None = Field(
        default=None,
        description="Redis that keeps what replicas share: API keys and the audit log, and with a gallery on "
        "Milvus its collections, quotas, verdicts and camera sums; files of this machine when not set",
        json_schema_extra={"accepts": "redis://[user:password@]host:port/db"},
    )
    shared_password_file: Path | None = Field(
        default=None, description="file with the password of the shared store, for a URL without one"
    )
    shared_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$",
        description="name of this service and its replicas in the shared store; services of two names know "
        "nothing of each other; when not set, lka-reid, and with another prefix in Milvus than lka_reid "
        "lka-reid-PREFIX",
        json_schema_extra={
            "accepts": "1 to 127 of A-Z a-z 0-9 . _ -, of which the first is a letter or digit"
        },
    )
    shared_timeout_s: float = Field(
        default=1.0, gt=0, le=60, description="s that the shared store is given to answer a command"
    )
    audit_entries: int = Field(
        default=200_000,
        ge=1000,
        le=100_000_000,
        description="entries of the audit log that are kept in the shared store, some 500 bytes of its "
        "memory each",
    )

    @model_validator(mode="after")
    def _milvus_has_what_it_needs(self) -> Self:
        if self.gallery != "milvus":
            return self
        missing = [
            name for name in ("milvus_url", "objects_url", "shared_url") if getattr(self, name) is None
        ]
        if missing:
            names = ", ".join(f"{PREFIX}{name.upper()}" for name in missing)
            raise ValueError(f"{PREFIX}GALLERY=milvus needs {names}; see docs/replicas.md")
        return self

    @property
    def store_name(self) -> str:
        """What the keys in the shared store begin with."""
        if self.shared_name is not None:
            return self.shared_name
        is_parted = self.gallery == "milvus" and self.milvus_prefix != MILVUS_PREFIX
        return f"{SHARED_NAME}-{self.milvus_prefix}" if is_parted else SHARED_NAME

    def shared_password(self) -> str | None:
        """The password in `shared_password_file`; None where that is not set.

        Raises:
            OSError: the file cannot be read; it names the setting.
        """
        return read_password(self.shared_password_file, f"{PREFIX}SHARED_PASSWORD_FILE")
