"""A graph of tool loops, in the form of seed 000: its nodes are agents, its state holds their conversation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel
from typing_extensions import TypeVar

from ropewalk.agent.agents import Agent, Instructions
from ropewalk.agent.approvals import Approve, Reject
from ropewalk.agent.callbacks import Callback
from ropewalk.agent.node import Said
from ropewalk.agent.options import ToolLoopOptions
from ropewalk.agent.reading import pending_calls
from ropewalk.agent.tool_state import ToolState
from ropewalk.agent.tools import OffersTools, Tool
from ropewalk.contracts import RunStore
from ropewalk.contracts.model import Model
from ropewalk.contracts.publisher import Publisher
from ropewalk.runtime import Graph
from ropewalk.tool_host import ToolNode, host_of

S = TypeVar("S", bound=BaseModel, default=ToolState)

_AFRESH: dict[str, Any] = {"is_complete": False, "final_output": None, "error": None, "current_iteration": 0}


class ToolGraph(Graph[S]):
    """A `Graph` whose nodes may be tool loops; all else that a graph has it has too."""

    def __init__(  # noqa: PLR0913  the names are the graph's settings
        self,
        name: str = "tools",
        state: S | type[S] | None = None,
        *,
        state_class: type[S] | None = None,
        store: RunStore | str | None = None,
        checkpoint_storage: RunStore | str | None = None,
        output_schema: Any = None,
        system_prompt: Instructions | None = None,
        max_iterations: int | None = None,
        chain_id: str | None = None,
        execution_timeout: float | None = 300,
        max_node_iterations: int = 100,
        max_concurrency: int | None = None,
        verbose: bool = False,
    ) -> None:
        """``state_class`` is `ToolState` or a subclass; ``output_schema``, ``system_prompt`` and ``max_iterations`` are
        those of every tool node that brings none of its own.
        """
        given = state if state is not None else state_class if state_class is not None else cast("type[S]", ToolState)
        super().__init__(
            given,
            store=store,
            checkpoint_storage=checkpoint_storage,
            name=name,
            chain_id=chain_id,
            execution_timeout=execution_timeout,
            max_node_iterations=max_node_iterations,
            max_concurrency=max_concurrency,
            verbose=verbose,
        )
        self.output_schema = output_schema
        self.system_prompt = system_prompt
        self.max_iterations = max_iterations
        self._publishers: dict[Publisher, None] = {}

    def add_tool_node(  # noqa: PLR0913, PLR0917  the names are the node's settings, the first ones by position
        self,
        name: str,
        tools: Sequence[Tool[..., Any] | OffersTools] = (),
        llm_client: Model | str | None = None,
        options: ToolLoopOptions | None = None,
        on_message: Callback | None = None,
        on_tool_use: Callback | None = None,
        *,
        hidden_params: Mapping[str, Any] | None = None,
        system_prompt: Instructions | None = None,
        output_schema: Any = None,
        handoffs: Iterable[Agent] = (),
        prompt: Callable[..., Said] | None = None,
        output_field: str = "final_output",
    ) -> ToolNode:
        """Add a node that asks ``llm_client`` (a client, or a name like ``openai:gpt-...``) and runs its tools until it
        answers; return the node.

        ``hidden_params`` fills what tools hide from the model. ``prompt`` makes of the state what the user says;
        ``output_field`` is where the answer goes. Raises `ToolInvalid`.
        """
        agent = Agent(
            name=name,
            model=llm_client,
            tools=tuple(tools),
            system_prompt=system_prompt if system_prompt is not None else self.system_prompt,
            options=options or self._options(),
            output_schema=output_schema if output_schema is not None else self.output_schema,
            handoffs=tuple(handoffs),
            hidden_params=hidden_params or {},
        )
        return self.add_agent(
            agent, on_message=on_message, on_tool_use=on_tool_use, prompt=prompt, output_field=output_field
        )

    def add_agent(
        self,
        agent: Agent,
        *,
        on_message: Callback | None = None,
        on_tool_use: Callback | None = None,
        prompt: Callable[..., Said] | None = None,
        output_field: str = "final_output",
    ) -> ToolNode:
        """Add a node that is an agent; return it. Raises `PartMissing` for a stream whose driver is not installed."""
        host = host_of(on_message, on_tool_use, agent.hidden_params)
        node = ToolNode(agent, host, prompt=prompt, output_field=output_field)
        self.add_node(node, agent.name, timeout=agent.options.timeout_seconds)
        self._publishers |= dict.fromkeys(node.publishers)
        return node

    @property
    def dropped_events(self) -> int:
        """How many events its streams could not deliver: those that went to the same servers in this process."""
        return sum(publisher.dropped for publisher in self._publishers)

    @property
    def final_output(self) -> Any:
        """The current run's answer."""
        return getattr(self.state, "final_output", None)

    async def resume(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  the seeds' name: a limit of the run, not of this call
        max_node_iterations: int | None = None,
        *,
        execute_tool: bool | None = None,
    ) -> str:
        """Decide about the one call that the state shows as paused, and drive the run on.

        ``execute_tool`` True lets it run (or lets its result count); False does not, and the model is told. Other calls
        that wait go on waiting. Left out, no call is decided about, and it does what `Graph.resume` does. Raises
        ValueError when no call waits.
        """
        if isinstance(timeout, bool):  # the seed's first parameter by position
            timeout, execute_tool = None, timeout
        if execute_tool is None:
            return await super().resume(timeout, max_node_iterations)
        run = self._current()
        waiting = pending_calls((await run.read()).schedule)
        if not waiting:
            raise ValueError(
                f"Cannot resume with execute_tool={execute_tool!r}: no tool call of run {run.run_id!r} waits for a "
                f"decision; it is {run.status}. Call resume() to go on with it."
            )
        run.set_limits(timeout, max_node_iterations)
        await run.answer(waiting[0].pause, Approve() if execute_tool else Reject())
        return await self._driven(run, run.wait())

    def _options(self) -> ToolLoopOptions:
        return ToolLoopOptions() if self.max_iterations is None else ToolLoopOptions(max_iterations=self.max_iterations)

    def _initial(self, state: BaseModel | None) -> BaseModel | None:
        """Return what a run begins with: the state, without what a run before it has left there as its end."""
        given = super()._initial(state)
        if isinstance(given, ToolState) and (given.is_complete or given.is_paused or given.error):
            return given.model_copy(update=_AFRESH)
        return given
