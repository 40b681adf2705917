"""Start-up: settings, and what may go wrong before there is a service, as one clear line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.packages import unusable
from models.terminal import kind_of
from service.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from models.detection.vehicle import Detector


class CommandError(Exception):
    """Ends a command with one line that says what is wrong and what to do.

    Args:
        message: for the user.
        code: exit status: 2 where the command could not do its work at all, 1 where it did some of it.
        kind: names what went wrong, for programs.
        remedy: what to do, where the message does not end with it; it is printed after a semicolon.
        more: further fields for programs, as JSON types.
    """

    def __init__(
        self,
        message: str,
        code: int = 2,
        *,
        kind: str = "command-refused",
        remedy: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message if remedy is None else f"{message}; {remedy}")
        self.detail = message
        self.code = code
        self.kind = kind
        self.remedy = remedy
        self.more = more

    @classmethod
    def of(cls, error: Exception) -> CommandError:
        """The same as another error: the kind that the service gave it, or that its class is named for."""
        given = {name: getattr(error, name, None) for name in ("request_id", "vehicles")}
        return cls(
            getattr(error, "detail", str(error)),
            kind=getattr(error, "kind", "") or kind_of(error),
            remedy=getattr(error, "remedy", None),
            more={name: value for name, value in given.items() if value},
        )


def settings_from(**flags: Any) -> Settings:
    """The settings, command-line flags first.

    Raises:
        CommandError: naming every wrong value and what is accepted.
    """
    try:
        return load_settings(**flags)
    except SettingsError as error:
        raise CommandError.of(error) from None


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what opening bundle, gallery and models can raise into CommandError; anything else is a bug."""
    try:
        yield
    except (ImportError, OSError) as error:
        lacking = unusable(error)
        if lacking is not None:
            raise CommandError(lacking.what, kind=lacking.kind, remedy=lacking.remedy) from None
        if not isinstance(error, OSError):
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise CommandError(f"{where}{error.strerror or error}", kind="file-error") from None
    except Exception as error:
        if _is_expected(error):
            raise CommandError.of(error) from None
        raise


def load_detector(folder: Path | None, least_score: float | None = None) -> tuple[Detector, float, float]:
    """The detector in a folder, or the one that is set; its crops' margin; from which score on it is sure.

    Args:
        folder: None for the one that is set.
        least_score: of the vehicles that it answers; None for that from which on it is sure.

    Raises:
        CommandError: there is none, or it cannot be loaded.
    """
    settings = settings_from(detector=folder)
    if settings.detector == "off":
        raise CommandError("LKA_REID_DETECTOR is off; name a detector's folder with --detector")
    with clear_errors():
        from models.detection import loading
        from models.detection.bundle import DetectorBundle

        bundle = DetectorBundle.load(settings.detector)
        manifest = bundle.manifest
        described = bundle.described() | {"score": least_score or manifest.score}
        return loading.load_detector(described), manifest.margin, manifest.score


def _is_expected(error: Exception) -> bool:
    from index import GalleryError
    from models.bundle import BundleError
    from models.decoding import DecodePoolError, DetectorError
    from models.runtimes.forward import RuntimeNotAvailableError
    from service.access.audit import AuditError
    from service.access.keyfile import KeyFileError
    from service.inference.forward import EmbeddingError
    from service.queue.errors import RedisUrlError

    models = BundleError | RuntimeNotAvailableError | EmbeddingError | DecodePoolError | DetectorError
    ours = GalleryError | models | RedisUrlError | KeyFileError | AuditError
    return isinstance(error, ours)
