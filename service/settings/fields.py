"""The settings as fields, each with its unit, bounds and description."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from service.proxies import TrustedProxies
from service.settings.password import read_password
from service.settings.paths import not_empty
from service.settings.sharing import PREFIX, SharingSettings


def _default_bundle() -> Path:
    from models.bundle import DEFAULT_BUNDLE

    return DEFAULT_BUNDLE


def _default_detector() -> Path:
    from models.detection.bundle import DEFAULT_DETECTOR

    return DEFAULT_DETECTOR


FORM_BYTES = 128 * 1024
"""What a form may need besides its image: boundaries, headers, and the other fields at their longest."""
_HOST = r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
_ORIGIN = r"https?://[^\s,*/]+"
PATH_PREFIX = r"(/[A-Za-z0-9._~-]+)+"


def _check_proxies(text: str) -> str:
    TrustedProxies(text)
    return text


class Settings(SharingSettings):
    """Everything that can be set, each with its unit and bounds.

    `load_settings` builds it: its errors name the variable or flag, and what it accepts.
    """

    host: str = Field(
        default="127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 for all interfaces"
    )
    port: int = Field(default=8000, ge=1, le=65535, description="TCP port to listen on")
    max_connections: int = Field(
        default=1024,
        ge=1,
        le=30_000,
        description="connections open at the same time, or half the file descriptors that the system grants; "
        "one that waits for its client makes room for the next",
    )
    max_connections_per_peer: int = Field(
        default=512,
        ge=1,
        le=30_000,
        description="connections open at the same time from one address, trusted proxies excepted",
    )
    root_path: str = Field(
        default="",
        pattern=rf"^({PATH_PREFIX})?$",
        description="path that a reverse proxy serves the service under, whether it strips it or not; none "
        "by default",
        json_schema_extra={"accepts": "a path without a slash at its end, such as /reid"},
    )
    data_dir: Path = Field(
        default=Path("lka-reid-data"), description="folder of the gallery; made when absent"
    )
    bundle: Path = Field(
        default_factory=_default_bundle,
        description="folder of the model bundle; the shipped one when not set",
    )
    runtime: Literal["auto", "cuda", "torch-cuda", "openvino", "cpu"] = Field(
        default="auto",
        description="what runs the models; auto is the first of cuda, openvino and cpu that starts; any "
        "other is refused where it does not",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="threads of the runtime on a CPU; the runtime's own choice when not set",
    )

    precision: Literal["auto", "f32", "f16", "bf16"] = Field(
        default="auto",
        description="what the embedder computes in; auto is the runtime's choice, any other that it does not "
        "honour is refused",
    )
    device_id: int = Field(
        default=0,
        ge=0,
        le=63,
        description="number of the GPU of the embedder and of the vector index, of those that it sees",
    )

    gpus: int = Field(
        default=1,
        ge=1,
        le=64,
        description="GPUs that the processes of lka-reid worker are spread over, from LKA_REID_DEVICE_ID on",
    )
    gpu_streams: int = Field(
        default=2,
        ge=1,
        le=8,
        description="batches that go through the GPU at the same time, so that one is copied while another "
        "computes; each has the models in its memory",
    )
    cuda_graphs: bool = Field(
        default=True,
        description="whether a GPU starts all kernels of a batch at once, by CUDA graphs; they are tried at "
        "the start, and left out where they fail",
    )

    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis between the service and its workers; when not set, the service embeds by itself",
        json_schema_extra={"accepts": "redis://[user:password@]host:port/db"},
    )
    redis_password_file: Path | None = Field(
        default=None, description="file with the password of Redis, for a URL without one"
    )
    queue_name: str = Field(
        default="lka-reid",
        pattern=r"^[A-Za-z0-9._:-]{1,64}$",
        description="prefix of the queue's keys in Redis; services and workers of one name work together",
        json_schema_extra={"accepts": "1 to 64 of A-Z a-z 0-9 . _ : -"},
    )
    redis_timeout_s: float = Field(
        default=1.0, gt=0, le=60, description="s that Redis is given to answer a command"
    )
    claim_after_s: float = Field(
        default=2.0,
        gt=0,
        le=600,
        description="s without a sign of life after which a worker's images are taken over by another",
    )
    max_deliveries: int = Field(
        default=3, ge=1, le=100, description="workers that may end over an image; then it is a dead letter"
    )
    processes: int = Field(default=1, ge=1, le=64, description="processes of lka-reid worker")
    metrics_host: str = Field(default="127.0.0.1", min_length=1, description="address of a worker's /metrics")
    metrics_port: int = Field(
        default=9100, ge=0, le=65535, description="TCP port of a worker's /metrics; 0 for any that is free"
    )

    max_upload_bytes: int = Field(
        default=10 * 1024 * 1024, ge=1024, le=1024**3, description="bytes of an image that is accepted"
    )
    max_batch_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="bytes of a whole request with a batch of images",
    )
    max_held_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1024,
        le=1024**4,
        description="bytes of all uploads that are held in memory at the same time; for more, the slowest "
        "makes room. One upload of the largest size is always let in",
    )
    max_batch: int = Field(default=8, ge=1, le=256, description="images in one batch at most")
    max_wait_ms: float = Field(
        default=2.0,
        ge=0,
        le=1000,
        description="ms a batch waits for images that are being decoded; 0 never waits",
    )
    max_queue: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="images waiting at most, those being decoded included; more get 503 at once",
    )
    decode_processes: int = Field(
        default=2, ge=1, le=256, description="images decoded at the same time, each in a process of its own"
    )
    detector: Literal["off"] | Path = Field(
        default_factory=_default_detector,
        union_mode="left_to_right",
        description="folder of the detector of vehicles in frames, or off; the shipped one when not set",
        json_schema_extra={"accepts": "a path | off"},
    )
    camera_normalisation: Literal["off", "on", "auto"] = Field(
        default="auto",
        description="whether each camera's mean and deviation are taken out of descriptors; auto does it "
        "once two cameras have enough images",
    )
    index_kind: Literal["auto", "flat", "flat16", "compressed", "hnsw"] = Field(
        default="auto",
        description="kind of the vector index; auto goes by the number of images: flat, from 20,000 flat16, "
        "from 50,000 compressed",
    )
    index_device: Literal["auto", "gpu", "cpu"] = Field(
        default="auto",
        description="what searches the vector index; auto takes a GPU where it can, or says why it does not",
    )
    gallery_threads: int = Field(default=8, ge=1, le=256, description="gallery operations at the same time")
    request_deadline_s: float = Field(
        default_factory=lambda others: 5.0 if others.get("redis_url") else 30.0,
        gt=0,
        le=3600,
        description="s from a request's arrival until it is embedded; then it is dropped. When not set, 30, "
        "and 5 with Redis",
    )
    batch_deadline_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="s from a batch's arrival until its images are embedded; those that are not are dropped",
    )
    ready_max_age_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="s that a forward pass counts as proof in /health/ready; then one is run",
    )
    drain_s: float = Field(
        default=30.0, ge=0, le=3600, description="s that requests under way are given to end at shutdown"
    )

    allow_anonymous: bool = Field(
        default=False, description="listen beyond this machine though there are no API keys"
    )
    allowed_hosts: str = Field(
        default="",
        pattern=rf"^(\*|{_HOST}(\s*,\s*{_HOST})*)?$",
        description="names that a service without API keys answers to as `Host`, besides localhost and, "
        "beyond this machine, its addresses",
        json_schema_extra={
            "accepts": "host names with commas between, *.example for all below it, * for any"
        },
    )
    keys_file: Path | None = Field(
        default=None, description="file of the API keys; keys.json in the data directory when not set"
    )
    metrics_public: bool = Field(default=False, description="answer /metrics without an API key")
    docs_public: bool = Field(default=False, description="answer /docs and /openapi.json without an API key")
    cors_origins: str = Field(
        default="",
        pattern=rf"^({_ORIGIN}(\s*,\s*{_ORIGIN})*)?$",
        description="origins whose pages may call the service from a browser; none by default",
        json_schema_extra={"accepts": "origins with commas between, such as https://console.example; no *"},
    )
    allow_private_webhooks: bool = Field(
        default=False,
        description="deliver alerts of watches to private, loopback and link-local addresses, too, and by "
        "plain HTTP",
    )
    trusted_proxies: Annotated[str, AfterValidator(_check_proxies)] = Field(
        default="",
        description="proxies whose X-Forwarded-For, -Proto and -Prefix are believed; none by default",
        json_schema_extra={"accepts": "addresses or networks with commas between, such as 10.0.0.0/8"},
    )
    rate_per_s: float | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="requests a second of one key, or of one address without keys; 0 is no limit; when not "
        "set, 100, and no limit for addresses where only this machine is listened to",
    )
    rate_burst: int | None = Field(
        default=None, ge=1, le=1_000_000, description="requests at once; twice a second's when not set"
    )
    audit_log: Path | None = Field(
        default=None,
        description="file of the audit log, /dev/null for none; audit.jsonl in the data directory if not set",
    )
    audit_max_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        le=1024**4,
        description="bytes of the audit log before it is rotated",
    )
    audit_per_minute: int = Field(
        default=300,
        ge=0,
        le=1_000_000,
        description="entries of the audit log for each key, action and status in a minute; more are counted "
        "and summarised; 0 writes all",
    )
    audit_backups: int = Field(default=15, ge=1, le=10_000, description="older audit logs that are kept")

    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="JSON lines or readable ones; auto is console on a terminal, else json"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_path_is_empty(cls, value: object, info: ValidationInfo) -> object:
        return not_empty(value, cls.model_fields[str(info.field_name)].annotation)

    @model_validator(mode="after")
    def _milvus_can_do_it(self) -> Settings:
        if self.gallery != "milvus":
            return self
        refused = {
            "CAMERA_NORMALISATION=on": self.camera_normalisation == "on",
            f"INDEX_KIND={self.index_kind}": self.index_kind != "auto",
            f"INDEX_DEVICE={self.index_device}": self.index_device != "auto",
        }
        found = [PREFIX + name for name, is_set in refused.items() if is_set]
        if found:
            raise ValueError(
                f"{', '.join(found)} is for a gallery in a data directory, and not for one on Milvus: leave "
                f"it out ({PREFIX}MILVUS_INDEX names the index of Milvus), or {PREFIX}GALLERY=local"
            )
        return self

    @model_validator(mode="after")
    def _queue_holds_a_batch(self) -> Settings:
        if self.max_queue < self.max_batch:
            raise ValueError(
                f"{PREFIX}MAX_QUEUE={self.max_queue} is less than {PREFIX}MAX_BATCH={self.max_batch}: "
                "the queue has to hold at least one whole batch"
            )
        return self

    def redis_password(self) -> str | None:
        """The password in `redis_password_file`; None where that is not set.

        Raises:
            OSError: the file cannot be read; it names the setting.
        """
        return read_password(self.redis_password_file, f"{PREFIX}REDIS_PASSWORD_FILE")

    @property
    def max_body_bytes(self) -> int:
        """Bytes of a whole request: an image and the form around it."""
        return self.max_upload_bytes + FORM_BYTES

    @property
    def keys_path(self) -> Path:
        """The file of the API keys."""
        return self.keys_file or self.data_dir / "keys.json"

    @property
    def audit_path(self) -> Path:
        """The newest file of the audit log."""
        return self.audit_log or self.data_dir / "audit.jsonl"

    @property
    def audit_key_path(self) -> Path:
        """The key of the audit log's hashes, beside its newest file."""
        beside = self.audit_path if self.audit_path != Path(os.devnull) else self.data_dir / "audit.jsonl"
        return beside.with_name("audit.key")

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of `cors_origins`, one by one."""
        return _items(self.cors_origins)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of `allowed_hosts`, one by one."""
        return _items(self.allowed_hosts)


def _items(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (item.strip() for item in text.split(","))))
