"""Text on a screen, read by the font of the kernel that wrote it."""

from __future__ import annotations

import pytest

from sim.screen import HEIGHT, UNKNOWN, WIDTH, find_font, read_ppm, read_text

A_B = bytes.fromhex("00001038 6cc6c6fe c6c6c6c6 00000000 0000fc66 66667c66 666666fc 00000000")


def _font() -> bytes:
    """Return a font whose characters are their own number, but for A and B, and a space that is empty."""
    glyphs = [bytes([code]) * HEIGHT for code in range(256)]
    glyphs[ord(" ")] = bytes(HEIGHT)
    return b"".join([*glyphs[: ord("A")], A_B, *glyphs[ord("C") :]])


def _draw(lines: list[str], colour: bytes) -> bytes:
    font, width = _font(), max(map(len, lines))
    rows = []
    for line in lines:
        cells = [font[ord(char) * HEIGHT : (ord(char) + 1) * HEIGHT] for char in line.ljust(width)]
        for row in range(HEIGHT):
            bits = [cell[row] >> (7 - bit) & 1 for cell in cells for bit in range(WIDTH)]
            rows.append(b"".join(colour if bit else b"\0\0\0" for bit in bits))
    return b"P6\n%d %d\n255\n" % (width * WIDTH, len(lines) * HEIGHT) + b"".join(rows)


@pytest.mark.parametrize("colour", [b"\xaa\xaa\xaa", b"\0\0\xff"])
def test_what_was_drawn_is_read(colour: bytes) -> None:
    font = find_font(b"kernel" + _font() + b"more")
    said = ["ABBA 123", "", "  x"]
    assert read_text(read_ppm(_draw(said, colour)), font) == said


def test_what_is_no_character_is_told_as_such() -> None:
    font = find_font(_font())
    picture = bytearray(_draw(["AAA"], b"\xff\xff\xff"))
    picture[-1] ^= 0xFF
    assert read_text(read_ppm(bytes(picture)), font) == [f"AA{UNKNOWN}"]


def test_a_kernel_without_the_font() -> None:
    with pytest.raises(ValueError, match="no font of 8x16"):
        find_font(b"kernel")


@pytest.mark.parametrize("data", [b"", b"P5\n1 1\n255\n\0", b"P6\n2 2\n255\n\0\0\0"])
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"no PPM picture|ends early"):
        read_ppm(data)
