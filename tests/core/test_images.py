"""Pictures of every kind that people hand over, and those that are none: read right, or refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagination import images
from imagination.errors import BadImage, ConfigError

WHITE, RED = (255, 255, 255), (255, 0, 0)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def raw_png(size: Tuple[int, int], depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of any header, of kinds that Pillow does not write."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def stripes(mode: str = "RGB", size: Tuple[int, int] = (40, 24)) -> Image.Image:
    """Red on the left, white on the right."""
    image = Image.new("RGB", size, WHITE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def orientated(orientation: Any, image: Image.Image, kind: str) -> bytes:
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    return saved(image, kind, exif=exif)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], Image.Image]:
    def load(data: bytes) -> Image.Image:
        path = tmp_path / "input.png"
        path.write_bytes(data)
        return images.load_input(path)

    return load


Load = Callable[[bytes], Image.Image]


# --- what is read -------------------------------------------------------------------------------------------------------

GREY16 = raw_png((2, 1), 16, 0, b"\0" + struct.pack(">2H", 32768, 65535))
RGB16 = raw_png((2, 1), 16, 2, b"\0" + struct.pack(">6H", 65535, 32896, 0, 0, 0, 65535))

READ: Dict[str, Tuple[bytes, Tuple[int, int], Tuple[int, int, int]]] = {
    "16-bit grey PNG": (GREY16, (2, 1), (127, 127, 127)),
    "16-bit RGB PNG": (RGB16, (2, 1), (255, 128, 0)),
    "one pixel": (saved(Image.new("RGB", (1, 1), RED)), (1, 1), RED),
    "1-bit PNG": (saved(Image.new("1", (3, 2), 1)), (3, 2), WHITE),
    "palette PNG": (saved(stripes("P")), (40, 24), RED),
    "RGBA PNG": (saved(Image.new("RGBA", (3, 2), (255, 0, 0, 255))), (3, 2), RED),
    "clear RGBA PNG": (saved(Image.new("RGBA", (3, 2), (255, 0, 0, 0))), (3, 2), WHITE),
    "half clear RGBA PNG": (saved(Image.new("RGBA", (3, 2), (0, 0, 0, 51))), (3, 2), (204, 204, 204)),
    "grey with alpha": (saved(Image.new("LA", (3, 2), (0, 0))), (3, 2), WHITE),
    "RGB PNG with one clear colour": (saved(stripes(), transparency=RED), (40, 24), WHITE),
    "lossless WebP": (saved(stripes(), "WEBP", lossless=True), (40, 24), RED),
    "BMP": (saved(stripes(), "BMP"), (40, 24), RED),
    "TIFF": (saved(stripes(), "TIFF"), (40, 24), RED),
}


@pytest.mark.parametrize("kind", READ)
def test_every_kind_of_picture_becomes_rgb(load: Load, kind: str) -> None:
    data, size, first = READ[kind]
    image = load(data)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", size, first)


def test_a_clear_palette_colour_becomes_white(load: Load) -> None:
    image = stripes("P")
    data = saved(image, transparency=image.getpixel((0, 0)))
    assert load(data).getpixel((0, 0)) == WHITE


def test_a_cmyk_jpeg_keeps_its_colours(load: Load) -> None:
    image = load(saved(stripes("CMYK"), "JPEG", quality=95))
    red, green, blue = image.getpixel((4, 4))
    assert red > 200 and green < 60 and blue < 60
    assert min(image.getpixel((36, 4))) > 240


def test_an_animated_gif_is_its_first_frame(load: Load) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load(data).getpixel((4, 4)) == RED


@pytest.mark.parametrize(
    ("orientation", "left_top_of_the_upright_picture"),
    [(1, RED), (2, WHITE), (3, WHITE), (4, RED), (5, RED), (6, RED), (7, WHITE), (8, WHITE)],
)
def test_exif_orientation_is_applied(
    load: Load, orientation: int, left_top_of_the_upright_picture: Tuple[int, int, int]
) -> None:
    image = load(orientated(orientation, stripes(), "PNG"))
    assert image.size == ((40, 24) if orientation < 5 else (24, 40))
    assert image.getpixel((0, 0)) == left_top_of_the_upright_picture


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(load: Load, orientation: int) -> None:
    assert load(orientated(orientation, stripes(), "PNG")).size == (40, 24)


@pytest.mark.parametrize(
    "exif", [b"MM\0*", b"II*\0\xff\xff\xff\xff", b"nonsense", b"MM\0*\0\0\0\x08\xff\xff" + b"\1" * 40]
)
def test_exif_that_cannot_be_read_spoils_no_picture(load: Load, exif: bytes) -> None:
    assert load(saved(stripes(), "PNG", exif=exif)).size == (40, 24)


def test_a_camera_jpeg_is_turned_and_scaled(load: Load) -> None:
    twelve_megapixels = orientated(6, Image.new("RGB", (4000, 3000), RED), "JPEG")
    upright = load(twelve_megapixels)
    assert upright.size == (3000, 4000)
    scaled = images.fit_megapixels(upright, 1.0)
    assert scaled.size == (864, 1152)


# --- what is refused ----------------------------------------------------------------------------------------------------

JPEG, PNG = saved(stripes(size=(400, 300)), "JPEG"), saved(stripes(size=(400, 300)))
NO_PICTURE: Dict[str, Tuple[bytes, str]] = {
    "an empty file": (b"", "the file is empty"),
    "a text": (b"# not a picture\n", "its format is not known"),
    "a truncated JPEG": (JPEG[: len(JPEG) // 2], "it is cut short or damaged"),
    "a truncated PNG": (PNG[: len(PNG) // 2], "it is cut short or damaged"),
    "the first bytes of a PNG": (PNG[:20], "it is cut short or damaged"),
    "a PNG with a damaged checksum": (PNG[:20] + b"\xff" + PNG[21:], "its format is not known"),
    "a PNG of no size": (raw_png((0, 0), 8, 2, b""), "."),
    "a decompression bomb": (raw_png((60000, 60000), 8, 2, b"\0"), "."),
    "a DDS of no known kind": (b"DDS " + struct.pack("<I", 124) + b"\0" * 120, "."),
}


@pytest.mark.parametrize("kind", NO_PICTURE)
def test_what_is_no_picture_is_refused_in_one_line(load: Load, tmp_path: Path, kind: str) -> None:
    data, told = NO_PICTURE[kind]
    with pytest.raises(ConfigError) as caught:
        load(data)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'input.png'} is no picture that can be read: ")
    assert told in message and "\n" not in message and caught.value.hint


@pytest.mark.parametrize("kind", NO_PICTURE)
def test_a_server_that_sends_no_picture_is_told_so(kind: str) -> None:
    with pytest.raises(BadImage, match=r"^the picture does not decode: \S"):
        images.check_result(NO_PICTURE[kind][0])


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.png cannot be read: No such file"):
        images.load_input(tmp_path / "none.png")


def test_a_result_is_decoded_and_measured() -> None:
    assert images.check_result(PNG) == images.size_of(PNG) == (400, 300)


# --- sizes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        ((1, 1), 1.0, (8, 8)),
        ((64, 48), 1.0, (64, 48)),
        ((67, 45), 1.0, (64, 48)),
        ((1000, 1000), 1.0, (1000, 1000)),
        ((1084, 922), 1.0, (1080, 920)),  # rounding up would pass the limit
        ((2000, 1000), 1.0, (1416, 704)),
        ((9000, 10), 0.01, (2992, 8)),
        ((2000, 1000), None, (2000, 1000)),
        ((2001, 1003), None, (2000, 1000)),
        ((2000, 1000), 4.0, (2000, 1000)),
    ],
)
def test_pictures_are_scaled_to_the_limit_in_multiples_of_eight(
    size: Tuple[int, int], limit: float, expected: Tuple[int, int]
) -> None:
    assert images.fit_megapixels(Image.new("L", size), limit).size == expected


# --- what the vision model gets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (40, 24), (1024, 3), (1024, 1024)])
def test_a_png_of_at_most_1024_px_goes_byte_for_byte(size: Tuple[int, int]) -> None:
    png = saved(Image.new("RGB", size, RED))
    picture = images.for_vision(png, "the result")
    assert (picture.png, picture.size, picture.label) == (png, size, "the result")


@pytest.mark.parametrize(
    ("size", "sent"), [((1025, 10), (1024, 10)), ((3000, 1500), (1024, 512)), ((9000, 1), (1024, 1))]
)
def test_larger_ones_are_scaled_to_1024_px(size: Tuple[int, int], sent: Tuple[int, int]) -> None:
    picture = images.for_vision(saved(Image.new("RGB", size, RED)), "the result")
    assert picture.size == images.check_result(picture.png) == sent


@pytest.mark.parametrize(
    "data",
    [saved(stripes("RGBA")), saved(stripes("P")), GREY16, saved(stripes(), "JPEG"), saved(stripes(), "WEBP")],
    ids=["alpha", "palette", "16-bit", "JPEG", "WebP"],
)
def test_other_kinds_are_sent_as_an_rgb_png(data: bytes) -> None:
    with Image.open(io.BytesIO(images.for_vision(data, "the result").png)) as sent:
        assert (sent.format, sent.mode) == ("PNG", "RGB")


def test_a_picture_shows_neither_bytes_nor_base64_when_printed() -> None:
    picture = images.for_vision(PNG, "the result")
    assert picture.base64[:20] not in repr(picture) and len(repr(picture)) < 200


def test_a_thumbnail_is_a_small_webp() -> None:
    with Image.open(io.BytesIO(images.thumbnail(saved(stripes(size=(1000, 500)))))) as small:
        assert (small.format, small.size) == ("WEBP", (320, 160))


# --- likeness -----------------------------------------------------------------------------------------------------------


def likeness(first: Image.Image, second: Image.Image) -> float:
    return images.likeness(images.fingerprint(saved(first)), images.fingerprint(saved(second)))


HALVES, BLACK = stripes("L", (64, 64)), Image.new("L", (64, 64))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (HALVES, HALVES, 1.0),
        (BLACK, BLACK, 1.0),
        (BLACK, Image.new("L", (64, 64), 255), 0.5),  # flat both, so alike as structures
        (BLACK, HALVES, 0.1755),  # half of 1 - mean(76, 255) / 255, and nothing for structure
        (HALVES, HALVES.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.149),  # half of 1 - 179 / 255; r is -1
    ],
)
def test_likeness_is_the_stated_formula(first: Image.Image, second: Image.Image, expected: float) -> None:
    assert likeness(first, second) == expected


def test_likeness_does_not_depend_on_the_order() -> None:
    pair = stripes(), Image.linear_gradient("L")
    assert likeness(*pair) == likeness(*pair[::-1])


def test_a_jpeg_and_its_png_have_nearly_one_fingerprint() -> None:
    photo = Image.linear_gradient("L").resize((900, 700))
    pair = images.fingerprint(saved(photo, "JPEG")), images.fingerprint(saved(photo))
    assert images.likeness(*pair) > 0.99


# --- pictures of known verdicts, and whether two show the same ------------------------------------------------------------


def test_the_grey_picture_shows_nothing_in_the_size_of_the_other() -> None:
    with Image.open(io.BytesIO(images.grey_like(saved(stripes())))) as grey:
        assert (grey.size, grey.mode, grey.getcolors()) == ((40, 24), "RGB", [(40 * 24, (128, 128, 128))])


def test_a_ruined_picture_keeps_neither_colours_nor_places() -> None:
    upright = Image.new("RGB", (200, 100), WHITE)
    upright.paste(RED, (0, 0, 200, 30))
    with Image.open(io.BytesIO(images.ruined(saved(upright)))) as ruined:
        assert ruined.size == (200, 100)
        assert ruined.getpixel((100, 5)) == (0, 0, 0)  # white ground, now on top
        assert ruined.getpixel((100, 95)) == (0, 255, 255)  # red, now at the bottom


def test_two_files_of_the_same_picture_have_one_hash() -> None:
    told = PngInfo()
    told.add_text("prompt", "{}")
    plain, other = saved(stripes()), saved(stripes(), pnginfo=told)
    assert plain != other
    assert images.pixel_hash(plain) == images.pixel_hash(other)
    assert images.pixel_hash(plain) != images.pixel_hash(saved(stripes(size=(24, 40))))
    assert images.pixel_hash(plain) != images.pixel_hash(saved(stripes().transpose(Image.Transpose.ROTATE_180)))
