"""Entities as large as GHL's can be, made larger only when they are served, so that many need no memory."""

import random


def padded(entity: bytes, least_bytes: int) -> bytes:
    """The entity with made-up nodes of its own behind its other fields, up to at least this size."""
    missing = least_bytes - len(entity)
    if missing <= 0:
        return entity
    drawn = random.Random(entity)  # noqa: S311 (no secret)
    nodes: list[bytes] = []
    while missing > 0:
        node = b'{"nodeId":"%b","nodeType":"llm","position":{"x":%d,"y":%d},"prompt":"%b"}' % (
            drawn.randbytes(12).hex().encode(),
            drawn.randrange(4000),
            drawn.randrange(4000),
            drawn.randbytes(400).hex(" ", 3).encode(),
        )
        nodes.append(node)
        missing -= len(node)
    return entity[:-1] + b',"nodes":[' + b",".join(nodes) + b"]}"
