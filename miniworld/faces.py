"""Faces of the mini world: 64 x 64 avatars with CelebA's attribute names and exact labels; they stand for CelebA.

The parts and the truth are in ``face_parts``, the drawing in ``face_art``, the captions in ``face_language``.
"""

from __future__ import annotations

from miniworld.face_art import draw
from miniworld.face_language import ANTONYM_PHRASES, describe
from miniworld.face_parts import CELEBA_ATTRIBUTES, DRAWN, NOT_DRAWN, Face, sample

__all__ = [
    "ANTONYM_PHRASES",
    "CELEBA_ATTRIBUTES",
    "DRAWN",
    "NOT_DRAWN",
    "Face",
    "describe",
    "draw",
    "sample",
]
