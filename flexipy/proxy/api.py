"""The public module API: everything that a pipeline module may import of the proxy.

A module in a package of its own needs this file and the rooms below the proxy (`flexipy.sip`, `flexipy.registrar`,
`flexipy.auth`, `flexipy.config`). See docs/writing-a-module.md.
"""

from flexipy.config.schema import (
    Parameter,
    ParameterType,
    boolean,
    duration,
    enum,
    expression,
    integer,
    integer_range,
    string,
    string_list,
)
from flexipy.proxy.events import RequestEvent, ResponseEvent
from flexipy.proxy.fork.basic import BasicFork
from flexipy.proxy.fork.branch import Branch
from flexipy.proxy.fork.call import CallFork, CallForkOptions
from flexipy.proxy.fork.context import Fork, ResponseContext
from flexipy.proxy.fork.message import MessageFork, MessageForkOptions
from flexipy.proxy.module import Module, ModuleContext, ModuleError
from flexipy.sip.errors import SipError
from flexipy.sip.message import Request, Response
from flexipy.sip.uri import SipUri

__all__ = [
    "BasicFork",
    "Branch",
    "CallFork",
    "CallForkOptions",
    "Fork",
    "MessageFork",
    "MessageForkOptions",
    "Module",
    "ModuleContext",
    "ModuleError",
    "Parameter",
    "ParameterType",
    "Request",
    "RequestEvent",
    "Response",
    "ResponseContext",
    "ResponseEvent",
    "SipError",
    "SipUri",
    "boolean",
    "duration",
    "enum",
    "expression",
    "integer",
    "integer_range",
    "string",
    "string_list",
]
