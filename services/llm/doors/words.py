"""What a door calls the parts of a job: how a refusal of the heart's is told in its caller's words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager

from services.common.errors import InvalidArgument, NotFound, ServiceError
from services.llm.answer import Bill, Delta
from services.llm.refusal import Refusal, Role, RoleName


class Words:
    """A door's.

    Args:
        fields: of a request, by what they stand for; ``{turn}`` and ``{item}`` in them are the role's.
    """

    def __init__(self, fields: Mapping[RoleName, str]) -> None:
        self._fields = fields

    def spell(self, role: Role) -> str:
        """The field that a role stands for."""
        field = self._fields[role.name].format(turn=role.turn, item=role.item)
        return f"{field}[{role.item}]" if role.name == "stop" and role.item is not None else field

    def refused(self, refusal: Refusal) -> ServiceError:
        """A refusal in these words."""
        field = self.spell(refusal.role)
        problem = refusal.problem
        if refusal.remedy is not None:
            problem = problem.replace("{remedy}", self.spell(refusal.remedy))
        return NotFound(f"{field}: {problem}") if refusal.missing else InvalidArgument(field, problem)

    async def told(self, pieces: AsyncIterator[Delta | Bill]) -> AsyncIterator[Delta | Bill]:
        """An answer's pieces; closing it closes them.

        Raises:
            ServiceError: a refusal, in these words.
        """
        with self.telling():
            async with aclosing(pieces):  # type: ignore[type-var]
                async for piece in pieces:
                    yield piece

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Whatever is refused within is told in these words.

        Raises:
            ServiceError: that.
        """
        try:
            yield
        except Refusal as refusal:
            raise self.refused(refusal) from refusal
