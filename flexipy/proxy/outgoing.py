"""Requests of the proxy's own: a user agent client with a single transaction (RFC 3261 section 8.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from flexipy.proxy import routing
from flexipy.sip import names as H
from flexipy.sip.message import Request, Response
from flexipy.sip.transaction import ClientTransaction
from flexipy.sip.uri import SipUri
from flexipy.transport.errors import FlowError, ResolutionError

if TYPE_CHECKING:
    from flexipy.proxy.agent import Agent
    from flexipy.transport.flow import Flow


class _Answer:
    """Waits for the final response of one transaction."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Response | int] = asyncio.get_running_loop().create_future()

    def _set(self, result: Response | int) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def on_client_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status >= 200:
            response.pop_first_value(H.VIA)
            self._set(response)

    def on_client_timeout(self, transaction: ClientTransaction, now: float) -> None:
        self._set(408)

    def on_client_error(self, transaction: ClientTransaction, now: float) -> None:
        self._set(503)

    def on_client_closed(self, transaction: ClientTransaction) -> None:
        pass


async def send_request(
    agent: Agent,
    request: Request,
    next_hop: SipUri | None = None,
    before_send: Callable[[Request, Flow], None] | None = None,
) -> Response:
    """Send a request and wait for its final response; the next address is tried where one does not take it.

    Args:
        agent: sends.
        request: whole but for the Via; neither INVITE nor ACK.
        next_hop: where to; None takes the topmost Route, or else the request URI.
        before_send: called with a copy and the flow that it leaves by.

    Returns:
        The response without our Via; one made here (408 or 503) where nobody answered.

    Raises:
        SipError: no next hop can be read out of the request.
    """
    target = next_hop if next_hop is not None else routing.next_hop(request)
    status = 503
    try:
        addresses = await agent.egress.targets(target, request)
    except ResolutionError as error:
        agent.logger.info("%s: cannot find %s: %s", request.label, target, error)
        addresses = []
    for address in addresses:
        try:
            flow = agent.transports.flow_for(address) or await agent.transports.connect(address)
        except FlowError as error:
            agent.logger.info("%s: %s not reached: %s", request.label, address, error)
            agent.resolver.mark_failed(address)
            continue
        leaving = request.copy()
        if before_send is not None:
            before_send(leaving, flow)
        result = await _send_on(agent, leaving, flow)
        if isinstance(result, Response):
            return result
        status = result
    return Response.to_request(request, status)


async def _send_on(agent: Agent, request: Request, flow: Flow) -> Response | int:
    branch = routing.new_branch(b"00000000")
    data = routing.compose(request, flow, branch, None, b"", b"")
    answer = _Answer()
    agent.watch(flow)
    transaction = agent.layer.create_client(branch, request.method, data, flow, answer)
    if not transaction.start(agent.clock()):
        return 503
    return await answer.future
