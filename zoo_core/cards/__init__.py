"""Model cards, and the numbers on them.

A card is a README.md with front matter for machines and a body for people.
"""

from zoo_core.cards.card import (
    LIBRARY,
    LICENSE,
    MAX_CARD_BYTES,
    MAX_FRONT_MATTER_BYTES,
    ModelCard,
    demand,
    is_strings,
    load,
    named_plugin,
    parse,
)
from zoo_core.cards.render import (
    CLASSIFICATION,
    DRAFT_LICENSE,
    DRAFT_LIMIT,
    FILLING,
    LOCAL,
    PIPELINE,
    Words,
    draft,
    family_name,
    load_call,
    needs_line,
    render,
    use_section,
)

__all__ = [
    "CLASSIFICATION",
    "DRAFT_LICENSE",
    "DRAFT_LIMIT",
    "FILLING",
    "LIBRARY",
    "LICENSE",
    "LOCAL",
    "MAX_CARD_BYTES",
    "MAX_FRONT_MATTER_BYTES",
    "PIPELINE",
    "ModelCard",
    "Words",
    "demand",
    "draft",
    "family_name",
    "is_strings",
    "load",
    "load_call",
    "named_plugin",
    "needs_line",
    "parse",
    "render",
    "use_section",
]
