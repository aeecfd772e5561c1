"""A ClientApp that runs one of our own clients at a node, for `FlowerPool`."""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.client import Client
from clients.flower.party import answer, policy_of
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.flower.letters import ACTION, Letter, answered
from fedlearn.protocol.parties import client_name


def client_app(make: Callable[[Context], Client]) -> ClientApp:
    """The ClientApp of nodes that hold clients of ours.

    make: from a node's context, the client that it has; its number is the node's partition-id.

    What plans the node follows, its --node-config says, as for `secure_mod`; any, where it says nothing.
    """
    app = ClientApp()

    def ask(message: Message, context: Context) -> Message:
        letter = Letter.of(message.content)
        if letter is None:
            raise ProtocolError("this ClientApp answers a FlowerPool of fedlearn only")
        number = context.node_config.get("partition-id")
        if not isinstance(number, int) or number < 0:
            raise BadInput(f"this node's partition-id is {number!r}: start it with --node-config 'partition-id=0'")
        if letter.ask == Letter.HELLO:
            return answered(number.to_bytes(8, "big"), message)
        if letter.client != number:
            raise ProtocolError(f"a letter for {client_name(letter.client)} came to the node of {client_name(number)}")
        return answered(answer(letter, context, {number: make(context)}, policy_of(context.node_config, None)), message)

    app.query(ACTION)(ask)
    return app
