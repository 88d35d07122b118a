"""Makes a picture of a page small: 256 colours are plenty for text and tables."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from playwright.sync_api import Page

PIXELS = """async png => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
    context.drawImage(image, 0, 0);
    const bytes = context.getImageData(0, 0, image.width, image.height).data;
    const reader = new FileReader();
    const read = new Promise(done => { reader.onload = () => done(reader.result.split(',')[1]); });
    reader.readAsDataURL(new Blob([bytes]));
    return [image.width, image.height, await read];
}"""
COLOURS = 256


def with_palette(page: Page, png: bytes) -> bytes:
    """The same picture as a PNG with a palette of its most frequent colours; others become the nearest of these.

    The page is one of Chromium, which decodes it.
    """
    width, height, encoded = page.evaluate(PIXELS, base64.b64encode(png).decode())
    rgb = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(-1, 4)[:, :3]
    colours, which, counts = np.unique(rgb, axis=0, return_inverse=True, return_counts=True)
    palette = colours[np.argsort(-counts)[:COLOURS]]
    away = colours[:, None].astype(np.int32) - palette[None].astype(np.int32)
    nearest = (away**2).sum(axis=2).argmin(axis=1).astype(np.uint8)
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = nearest[which.ravel()].reshape(height, width)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette.tobytes()),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    """A part of a PNG: length, name, data, checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
