"""What all answers have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

Box = tuple[int, int, int, int]
"""Left, top, width and height, px."""


class Answer(BaseModel):
    """What a service answered; fields that this client does not know yet are in `model_extra`."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    def document(self) -> dict[str, Any]:
        """The answer as JSON has it, as far as it was sent."""
        return self.model_dump(mode="json", exclude_unset=True)
