"""Commands of other packages: found by entry point, imported only when one of them is asked for."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer.main
from typer.core import TyperGroup

from models.packages import TRAINING, unusable
from service.commands.paths import refuse_empty_paths
from service.startup import CommandError

GROUP = "lka_reid.commands"
PANEL = "From other packages"


class PluginGroup(TyperGroup):
    """The commands of one package, as a group named like its entry point."""

    def __init__(self, entry_point: EntryPoint) -> None:
        package = entry_point.value.partition(".")[0]
        super().__init__(
            name=entry_point.name,
            help=f"Commands of the {package} package; they also stand at the top level.",
            rich_markup_mode="markdown",
            rich_help_panel=PANEL,
            no_args_is_help=True,
        )
        self._entry_point = entry_point
        self._loaded: TyperGroup | None = None

    def list_commands(self, ctx: Any) -> list[str]:
        """The package's commands, which are imported for that."""
        return self._load().list_commands(ctx)

    def shown_commands(self, ctx: Any) -> list[str]:
        """The commands that stand in a panel of the top level's help; none where they cannot be imported."""
        try:
            names = self.list_commands(ctx)
        except (CommandError, ModuleNotFoundError):
            return []
        found = {name: self.get_command(ctx, name) for name in names}
        return [name for name in names if getattr(found[name], "rich_help_panel", None)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of the package's commands, or None.

        Raises:
            CommandError: the package's commands cannot be imported.
        """
        return self._load().get_command(ctx, cmd_name)

    def _load(self) -> TyperGroup:
        if self._loaded is None:
            try:
                app = self._entry_point.load()
            except (ImportError, OSError) as error:
                lacking = unusable(error)
                remedy = TRAINING if lacking is None else lacking.remedy
                raise CommandError(
                    f"the commands of {self.name} cannot be loaded ({error}); "
                    f"install what they need: {remedy}"
                ) from None
            refuse_empty_paths(app)
            self._loaded = typer.main.get_group(app)
        return self._loaded


class RootGroup(TyperGroup):
    """Our own commands, then those of other packages, which stand at the top level too.

    Help lists those of their commands that name a panel, where they can be imported, and one line for each
    package.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Our own commands, those of other packages that name a panel, and one group for each package."""
        plugins = self._plugins()
        shown = [name for plugin in plugins.values() for name in plugin.shown_commands(ctx)]
        return [*super().list_commands(ctx), *shown, *plugins]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command of our own, a package's group, or a command found in one of them.

        Raises:
            CommandError: not ours, and a package that might have it cannot be imported.
        """
        plugins = self._plugins()
        own = super().get_command(ctx, cmd_name) or plugins.get(cmd_name)
        return own or next(
            filter(None, (plugin.get_command(ctx, cmd_name) for plugin in plugins.values())), None
        )

    def _plugins(self) -> dict[str, PluginGroup]:
        found = sorted(entry_points(group=GROUP), key=lambda entry_point: entry_point.name)
        return {entry_point.name: PluginGroup(entry_point) for entry_point in found}
