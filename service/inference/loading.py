"""Loading a bundle's models; it needs nothing of the gallery."""

from __future__ import annotations

import structlog

from models.bundle import Bundle
from service.inference.forward import bucket_sizes
from service.inference.protocols import Models
from service.settings import Settings

log = structlog.get_logger(__name__)


def load_models(settings: Settings, bundle: Bundle) -> Models:
    """The bundle's models in the runtime that is set.

    Raises:
        BundleError: a file of the bundle cannot be loaded.
        RuntimeNotAvailableError: the runtime is not there.
    """
    # Here, and not above: ONNX Runtime takes a while to import, and fakes do without it.
    from models.runtime import Models as LoadedModels
    from models.runtimes.forward import RuntimeOptions

    options = RuntimeOptions(
        threads=settings.threads,
        precision=settings.precision,
        device=settings.device_id,
        batch_sizes=bucket_sizes(settings.max_batch),
        graphs=settings.cuda_graphs,
        streams=settings.gpu_streams,
    )
    loaded = LoadedModels.load(bundle, settings.runtime, options)
    for name, why in loaded.left_out.items():
        log.info("runtime_left_out", runtime=name, reason=why)
    for name, why in loaded.gpu_left_out.items():
        log.warning("gpu_left_out", what=name, reason=why)
    log.info("runtime", runtime=loaded.runtime, nodes=dict(loaded.nodes), streams=loaded.streams)
    return loaded
