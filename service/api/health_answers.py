"""Answers about the state of the service."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The service can answer queries: a forward pass succeeded just now or a short while ago."""

    status: Literal["ready"] = "ready"
    runtime: str = Field(description="what runs the embedder; several where workers differ")
    gpu_left_out: str | None = Field(
        description="what the runtime does without on its GPU, and why: CUDA graphs, or a stream; null else"
    )
    bundle: str = Field(description="the model bundle's name")
    fingerprint: str = Field(description="the model bundle's fingerprint")
    reranker: bool = Field(description="whether the bundle has a second stage")
    match_threshold: float | None = Field(
        description="similarity from which on `is_match` is true; null for a bundle that is not calibrated "
        "for descriptors as the gallery compares them now"
    )
    workers: int = Field(description="living embedding workers; 1 where the service embeds by itself")
    gallery_size: int | None = Field(
        description="images enrolled, in all collections; null where there are keys, since anybody may ask"
    )
    index_kind: str = Field(description="kind of the vector index in use: flat, flat16, compressed or hnsw")
    index_device: str = Field(description="what searches it: gpu or cpu")
    index_gpu_left_out: str | None = Field(
        description="why no GPU searches it, where one was looked for; null else"
    )
    queue_depth: int = Field(description="images being decoded or waiting")
    forward_age_s: float = Field(description="s since a forward pass last succeeded")
