"""What stands on a machine's screen: a text console's characters, read by the font that its kernel has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sim.errors import NoScreen, QmpFailed
from sim.qmp import Qmp

# Of the font that Linux's framebuffer console takes for a screen of this size (lib/fonts/font_8x16.c), in pixels.
WIDTH, HEIGHT = 8, 16
FIRST = ord("A")
# Its letters A and B, as VGA cards have them: by these 32 bytes it is found in a kernel.
_A_B = bytes.fromhex("00001038 6cc6c6fe c6c6c6c6 00000000 0000fc66 66667c66 666666fc 00000000")
_PPM = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Picture:
    """A picture: 3 bytes (red, green, blue) to a pixel, line by line."""

    width: int
    height: int
    pixels: bytes

    def pixel(self, x: int, y: int) -> bytes:
        """Return a pixel's three bytes."""
        start = (y * self.width + x) * 3
        return self.pixels[start : start + 3]


async def take_picture(qmp: Qmp, target: Path) -> None:
    """Let QEMU write a picture of a machine's screen, as PPM if the file is called so, else as PNG.

    Raises NoScreen, QmpFailed.
    """
    kind = "ppm" if target.suffix == ".ppm" else "png"
    try:
        await qmp.execute("screendump", filename=str(target), format=kind)
    except QmpFailed as error:
        if not error.kind:
            raise  # not an answer, but the end of the session
        raise NoScreen(f"no picture: {error.message.rpartition(': ')[2]}") from error


def read_ppm(data: bytes) -> Picture:
    """Read a picture as QEMU's `screendump` writes it (PPM, P6). Raises ValueError."""
    head = _PPM.match(data)
    if head is None:
        raise ValueError("it is no PPM picture of 8-bit colours")
    width, height = int(head[1]), int(head[2])
    pixels = data[head.end() :]
    if len(pixels) != width * height * 3:
        raise ValueError(f"it ends early: {len(pixels)} bytes for {width}x{height} pixels")
    return Picture(width, height, pixels)


def find_font(kernel: bytes) -> dict[bytes, str]:
    """Return a kernel's font of 8x16 pixels: printable ASCII characters by their 16 lines. Raises ValueError."""
    at = kernel.find(_A_B)
    if at < 0:
        raise ValueError("the kernel has no font of 8x16 pixels")
    start = at - FIRST * HEIGHT
    codes = range(ord(" "), ord("~") + 1)
    return {kernel[start + code * HEIGHT : start + (code + 1) * HEIGHT]: chr(code) for code in codes}


def read_text(picture: Picture, font: dict[bytes, str]) -> list[str]:
    """Return the lines of a text console, in any colour on black; what is no character of the font is U+FFFD."""
    lines = []
    for top in range(0, picture.height - HEIGHT + 1, HEIGHT):
        rows = [_bits(picture, top + row) for row in range(HEIGHT)]
        cells = (bytes(row[column] for row in rows) for column in range(picture.width // WIDTH))
        lines.append("".join(font.get(cell, UNKNOWN) for cell in cells).rstrip())
    return lines


def _bits(picture: Picture, y: int) -> bytes:
    """Return a line of pixels, eight to a byte, a bit set where the pixel is not black."""
    start = y * picture.width * 3
    line = picture.pixels[start : start + picture.width * 3]
    lit = [any(line[x : x + 3]) for x in range(0, len(line) - len(line) % (3 * WIDTH), 3)]
    return bytes(sum(bit << (7 - index) for index, bit in enumerate(lit[x : x + 8])) for x in range(0, len(lit), 8))
