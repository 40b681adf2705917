"""Where keys and the audit log are, by the settings: in files, or in the store that replicas share."""

from __future__ import annotations

from index.shared import SharedStore
from service.access.audit import AuditLog
from service.access.auditfile import AuditFile
from service.access.audithome import AuditHome
from service.access.idhash import FileIdHasher, IdHasher
from service.access.keyfile import KeyFile
from service.access.keyhome import KeyHome
from service.access.sharedaudit import SharedAudit, SharedIdHasher
from service.access.sharedkeys import SharedKeys
from service.settings import Settings


def open_store(settings: Settings) -> SharedStore | None:
    """The shared store that is set; None where everything is on this machine. It is not asked anything yet.

    Raises:
        SharedStoreError: its URL does not read.
        OSError: the file with its password cannot be read.
    """
    if settings.shared_url is None:
        return None
    return SharedStore(
        settings.shared_url.get_secret_value(),
        settings.store_name,
        timeout_s=settings.shared_timeout_s,
        password=settings.shared_password(),
    )


def keys_in(settings: Settings, store: SharedStore | None) -> KeyHome:
    """The home of the API keys."""
    return KeyFile(settings.keys_path) if store is None else SharedKeys(store)


def ids_in(settings: Settings, store: SharedStore | None) -> IdHasher:
    """What hashes image ids for the audit log."""
    return FileIdHasher(settings.audit_key_path) if store is None else SharedIdHasher(store)


def audit_in(settings: Settings, store: SharedStore | None, *, rotates: bool = True) -> AuditLog:
    """The audit log. Where it does not rotate its file, a service beside it does."""
    ids = ids_in(settings, store)
    home: AuditHome
    if store is None:
        size = settings.audit_max_bytes if rotates else 0
        home = AuditFile(settings.audit_path, size, settings.audit_backups, ids.chain_key)
    else:
        home = SharedAudit(store, settings.audit_entries, ids.chain_key)
    return AuditLog(home, ids, settings.audit_per_minute if rotates else 0)
