"""How the words of ``negutil.captions.english`` look: icons and colours, and where a hat sits and a hand is.

The icons are those of Font Awesome Free (solid), which the package ``fontawesomefree`` ships. Design: "The mini world".
"""

from __future__ import annotations

from negutil.captions.english import NOUNS

ICONS: dict[str, str] = {noun: noun for noun in NOUNS} | {
    "woman": "person-dress",
    "apple": "apple-whole",
    "pizza": "pizza-slice",
    "hamburger": "burger",
    "cake": "cake-candles",
    "ice cream": "ice-cream",
    "mug": "mug-hot",
    "bottle": "wine-bottle",
    "lamp": "lightbulb",
    "hat": "hat-cowboy",
    "bag": "bag-shopping",
}
"""Icon of every noun."""

RGB: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "orange": (255, 140, 0),
    "yellow": (250, 225, 40),
    "green": (20, 150, 50),
    "blue": (30, 80, 220),
    "purple": (150, 60, 200),
    "pink": (255, 130, 190),
    "brown": (145, 90, 40),
    "black": (66, 66, 70),
    "white": (250, 250, 250),
}

#: Icons of what a person does; "standing" is the plain figure.
ACTION_ICONS: dict[str, str] = {
    "standing": "person",
    "walking": "person-walking",
    "running": "person-running",
    "swimming": "person-swimming",
    "skiing": "person-skiing",
    "skating": "person-skating",
    "kneeling": "person-praying",
}
#: Where a hat sits (fractions of the box, x then y) and where a hand is, by icon.
HEAD: dict[str, tuple[float, float]] = {
    "person": (0.50, 0.06),
    "person-dress": (0.50, 0.06),
    "person-walking": (0.55, 0.06),
    "person-running": (0.62, 0.06),
    "dog": (0.76, 0.06),
    "cat": (0.74, 0.04),
    "horse": (0.72, 0.06),
    "robot": (0.50, 0.05),
    "snowman": (0.50, 0.04),
}
HAND: dict[str, tuple[float, float]] = {
    "person": (0.98, 0.52),
    "person-dress": (0.98, 0.52),
    "person-walking": (0.98, 0.48),
    "person-running": (1.00, 0.46),
    "robot": (1.00, 0.60),
}
