"""Pillow: bytes in, bytes out. Decoding what users hand over, shrinking for the model, thumbnails, pixel likeness.

Everything leaves here as 8-bit RGB, turned upright and without alpha, except what ComfyUI made: that stays byte for byte.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import io
import warnings
from operator import mul, sub
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Optional, Tuple, cast

from .errors import BadImage, ConfigError
from .model import Picture
from .reading import MAX_PICTURE, read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image, Resampling

# What is decoded: pictures as people have them. Left out is what runs another program (EPS) or stalls when damaged (DDS).
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "ICO", "TGA")
VISION_SIDE = 1024  # px, spec "AIVis Integration"
THUMB_SIDE = 320  # px, for the viewer's grid
MAX_PIXELS = 178_000_000  # 534 MB decoded: above any camera; Pillow itself refuses more than 178,956,970
ORIENTATION = 0x0112  # EXIF tag
PNG_LEVEL = 1  # zlib level: files a tenth larger than at the default 6, in a third of the time


def load_input(path: Path) -> Image:
    """Decode the user's picture: upright, first frame, flattened onto white, RGB. Raises ConfigError in one line."""
    try:
        data = read_bytes(path, MAX_PICTURE)
    except OSError as err:
        raise ConfigError(f"{path} cannot be read: {err.strerror or err}") from err
    try:
        return _decode(data)
    except Exception as err:  # Pillow's readers raise whatever a damaged file trips them over, struct.error and all
        raise ConfigError(
            f"{path} is no picture that can be read: {_reason(data, err)}",
            "open it in an image editor and save it again as PNG or JPEG",
        ) from err


def check_result(png: bytes) -> Tuple[int, int]:
    """Decode a picture that came from a server to its last pixel; returns its size. Raises BadImage."""
    try:
        return _decoded(png).size
    except Exception as err:  # as in `load_input`
        raise BadImage(f"the picture does not decode: {_reason(png, err)}") from err


def fit_megapixels(image: Image, max_megapixels: Optional[float]) -> Image:
    """Scale down to at most `max_megapixels` (None: never) and crop nothing; sides become multiples of 8, as the VAE needs.

    Source: decisions.md, "Picture size". Aspect changes by less than 8 px a side.
    """
    width, height = image.size
    scale = 1.0
    if max_megapixels is not None and width * height > max_megapixels * 1_000_000:
        scale = (max_megapixels * 1_000_000 / (width * height)) ** 0.5
    size = (_eights(width * scale), _eights(height * scale))
    if max_megapixels is not None and size[0] * size[1] > max_megapixels * 1_000_000:
        size = (_eights(width * scale - 4), _eights(height * scale - 4))  # rounded down instead
    return image if size == image.size else image.resize(size, _lanczos())


def encode_png(image: Image) -> bytes:
    """PNG bytes of an image, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def for_vision(png: bytes, label: str) -> Picture:
    """A picture as it is sent to a vision model: an RGB PNG of at most 1024 px goes as it came, others are re-encoded."""
    from PIL import Image

    with _quiet(), Image.open(io.BytesIO(png)) as image:
        size = image.size
        plain = image.format == "PNG" and image.mode in ("RGB", "L") and "transparency" not in image.info
    if not plain or max(size) > VISION_SIDE:
        small = _shrunk(_decoded(png), VISION_SIDE, _lanczos())
        size, png = small.size, encode_png(small)
    return Picture(label=label, png=png, base64=base64.b64encode(png).decode("ascii"), size=size)


def thumbnail(png: bytes) -> bytes:
    """A WebP of at most 320 px for the viewer."""
    image = _shrunk(_decoded(png), THUMB_SIDE, _bilinear())
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=78, method=0)  # 0: the least effort, a few kB more
    return buffer.getvalue()


def reduced(png: bytes, side: int) -> bytes:
    """A WebP of at most `side` px, for a report. Raises what `check_result` raises for what is no picture."""
    check_result(png)
    buffer = io.BytesIO()
    _shrunk(_decoded(png), side, _lanczos()).save(buffer, "WEBP", quality=82, method=4)
    return buffer.getvalue()


def grey_like(png: bytes) -> bytes:
    """A plain grey picture of the same size: it shows nothing at all."""
    from PIL import Image

    return encode_png(Image.new("RGB", size_of(png), (128, 128, 128)))


def ruined(png: bytes) -> bytes:
    """The picture upside down, in inverted colours and blurred: whatever was in it has not been kept."""
    from PIL import ImageFilter, ImageOps

    image = ImageOps.invert(ImageOps.flip(_decoded(png)))
    return encode_png(image.filter(ImageFilter.GaussianBlur(max(2, max(image.size) / 40))))


def pixel_hash(png: bytes) -> str:
    """SHA-256 of what a picture shows: the same for two files that differ in their metadata only."""
    image = _decoded(png)
    return content_hash(repr(image.size).encode("ascii") + image.tobytes())


def fingerprint(png: bytes) -> bytes:
    """64x64 grey values of a picture: what `likeness` compares."""
    return _decoded(png).convert("L").resize((64, 64), _bilinear(), reducing_gap=2.0).tobytes()


def likeness(first: bytes, second: bytes) -> float:
    """Pixel likeness of two fingerprints, 0.0 to 1.0 (identical), rounded to 4 places.

    The formula is `0.5 * (1 - mean |a - b| / 255) + 0.5 * max(0, r)` over the 4096 grey values, where r is the Pearson
    correlation of the two: how alike the values are, and how alike the structure is, in equal parts. Where one of them
    is flat, r is 1 if both are, else 0.
    """
    count = len(first)
    closeness = 1 - sum(map(abs, map(sub, first, second))) / (255 * count)
    # whole numbers, `count` squared times the variances and the covariance
    spread_a = count * sum(map(mul, first, first)) - sum(first) ** 2
    spread_b = count * sum(map(mul, second, second)) - sum(second) ** 2
    if spread_a and spread_b:
        r = (count * sum(map(mul, first, second)) - sum(first) * sum(second)) / (spread_a * spread_b) ** 0.5
    else:
        r = float(spread_a == spread_b)
    return round(float(min(1.0, 0.5 * closeness + 0.5 * max(0.0, r))), 4)


def size_of(png: bytes) -> Tuple[int, int]:
    """(width, height) from the header of a picture that is known to decode."""
    from PIL import Image

    with _quiet(), Image.open(io.BytesIO(png)) as image:
        return image.size


def content_hash(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


# --- inside ---------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _decoded(png: bytes) -> Image:
    """`_decode`, done once for a picture that is checked, compared and shrunk in turn. Callers change copies only."""
    return _decode(png)


def _decode(data: bytes) -> Image:
    """Bytes to an upright RGB image, decoded to the last pixel."""
    from PIL import Image

    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with _quiet(), Image.open(io.BytesIO(data), formats=formats) as image:
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{image.width}x{image.height} px are more than this tool takes")
        image.load()
        return _flatten(_upright(image))


def _shrunk(image: Image, side: int, how: Resampling) -> Image:
    """`image` with its longer side at most `side` px; itself if it is no larger."""
    longer = max(image.size)
    if longer <= side:
        return image
    width, height = (max(1, round(length * side / longer)) for length in image.size)
    return image.resize((width, height), how, reducing_gap=2.0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Pillow's own bomb warning comes below our limit, and odd metadata is no fault of the picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _upright(image: Image) -> Image:
    """Turn by the EXIF orientation. Pillow's `exif_transpose` writes the EXIF anew as well, and fails on an odd one."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # EXIF that cannot be read is as good as none
        return image
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image) -> Image:
    from PIL import Image as Images

    if (
        image.mode.startswith("I") or image.mode == "F"
    ):  # 16-bit and float greys: Pillow's own convert() would clip at 255
        return _from_deep(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Images.new("RGBA", rgba.size, "white")
        return Images.alpha_composite(white, rgba).convert("RGB")
    rgb = image.convert("RGB")
    return rgb if rgb is not image else image.copy()


def _from_deep(image: Image) -> Image:
    top = _white_of(image)
    scaled = image.convert("F").point(lambda value: value * (255.0 / top))
    return scaled.convert("L").convert("RGB")


def _white_of(image: Image) -> float:
    """The value that means white: 65535 in 16-bit pictures; others do not say, so the brightest pixel decides."""
    if image.mode.startswith("I;16"):
        return 65535.0
    brightest = float(cast(Tuple[float, float], image.getextrema())[1])
    return 255.0 if image.mode == "I" and brightest <= 255 else 65535.0 if brightest > 1 else 1.0


def _reason(data: bytes, err: Exception) -> str:
    if not data:
        return "the file is empty"
    text = str(err) or type(err).__name__
    if "truncated" in text.lower() or "incomplete" in text or isinstance(err, (EOFError, SyntaxError)):
        return "it is cut short or damaged"
    if "cannot identify" in text:
        return "its format is not known"
    return text.split("\n")[0][:120]


def _eights(length: float) -> int:
    return max(8, round(length / 8) * 8)


def _lanczos() -> Resampling:
    from PIL.Image import Resampling

    return Resampling.LANCZOS


def _bilinear() -> Resampling:
    from PIL.Image import Resampling

    return Resampling.BILINEAR
