"""The built-in generator's refusals, files and odd requests, compared with what a ComfyUI 0.3.64 answered."""

from __future__ import annotations

import copy
import io
import json
import socket
from typing import Any, Dict, Iterator
from urllib.parse import quote

import pytest
from PIL import Image
from sandbox_clients import Client, StandInSampler, graph, png, raw, recorded

from imagination.sandbox.comfyui_server import ComfyUIServer


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyUIServer]:
    """One server for all: each test uses names of its own."""
    running = ComfyUIServer(StandInSampler(), max_upload_size=1024 * 1024)
    running.url = running.start()  # type: ignore[attr-defined]
    yield running
    running.stop()


@pytest.fixture
def client(server: ComfyUIServer) -> Iterator[Client]:
    client = Client(server.url)  # type: ignore[attr-defined]
    client.upload("in.png", png())
    yield client
    client.close()


def plain(value: Any) -> Any:
    """Drop what may differ: an input's empty settings, and tracebacks."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in ("traceback", "description")}
    if isinstance(value, list):
        items = [plain(item) for item in value]
        return items[:1] if len(items) == 2 and items[1] == {} else items
    return value


# --- validation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", recorded("validation")["cases"], ids=lambda case: case["note"])
def test_a_prompt_is_judged_as_recorded(client: Client, case: Dict[str, Any]) -> None:
    if "changes" in case:
        prompt = copy.deepcopy(graph())
        for node_id, node in case["changes"].items():
            prompt.pop(node_id, None)
            if node is not None:
                prompt[node_id] = node
        body = json.dumps({"prompt": prompt, "client_id": "client-a", **case["more"]}).encode()
    elif "json" in case:
        body = json.dumps(case["json"]).encode()
    else:
        body = bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()
    answer = raw(client.url, "POST", "/prompt", {"Content-Type": "application/json"}, body)
    assert answer.status == case["status"], answer.content
    if "answer" in case:
        # Python before 3.10 says it in other words.
        given = json.loads(answer.content.replace(b"a string or a number", b"a string or a real number"))
        assert plain({key: given[key] for key in case["answer"]}) == plain(case["answer"])
    else:
        assert answer.content == b"500 Internal Server Error\n\nServer got itself in trouble"


@pytest.mark.parametrize(("given", "run"), [(5.0, 5), ("5", 5), (True, 1), (2.9, 2)])
def test_values_are_converted_in_silence(client: Client, given: Any, run: int) -> None:
    client.connect()
    entry = client.run(graph(n3={"steps": given}))
    assert entry["prompt"][2]["3"]["inputs"]["steps"] == run


@pytest.mark.parametrize("name", sorted(recorded("object_info")["classes"]))
def test_a_class_is_described_as_recorded(client: Client, name: str) -> None:
    said = client.get(f"/object_info/{name}").json()[name]
    expected = recorded("object_info")["classes"][name]
    same = ("input", "input_order", "output", "output_is_list", "output_name", "name", "category", "output_node")
    expected["input"] = plain(expected["input"])
    if "image" in said["input"]["required"] and said["input"]["required"]["image"][0] != "IMAGE":
        assert "in.png" in said["input"]["required"]["image"].pop(0)
        expected["input"]["required"]["image"].pop(0)
    said["input"] = plain(said["input"])
    assert {key: said[key] for key in same} == {key: expected[key] for key in same}


def test_an_unknown_class_is_an_empty_object(client: Client) -> None:
    assert client.get("/object_info/NoSuchNode").json() == {}
    assert {"KSampler", "SaveImage", "SamplerCustomAdvanced"} <= set(client.get("/object_info").json())


# --- files ------------------------------------------------------------------------------------------------------------


def test_uploads_are_answered_as_recorded() -> None:
    running = ComfyUIServer(StandInSampler())
    url = running.start()
    for case in recorded("upload")["cases"]:
        answer = raw(url, "POST", "/upload/image", {"Content-Type": "multipart/form-data; boundary=cut"}, form(case))
        assert answer.status == case["status"], case["note"]
        if case["answer"] is not None:
            assert json.loads(answer.content) == case["answer"], case["note"]
    offered = Client(url).get("/object_info/LoadImage").json()["LoadImage"]["input"]["required"]["image"][0]
    assert "photo (1).png" in offered
    assert not any("/" in name or name.endswith(".html") for name in offered)
    running.stop()


def form(case: Dict[str, Any]) -> bytes:
    """Write the multipart body by hand, so that the file name goes out exactly as recorded."""
    parts = []
    if "filename" in case:
        head = f'Content-Disposition: form-data; name="{case["part"]}"; filename="{case["filename"]}"'
        parts.append(f"--cut\r\n{head}\r\nContent-Type: image/png\r\n\r\n{case['bytes']}\r\n")
    for name, value in case["fields"].items():
        parts.append(f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n')
    return ("".join(parts) + "--cut--\r\n").encode()


def test_view_answers_as_recorded() -> None:
    running = ComfyUIServer(StandInSampler())
    url = running.start()
    output = running.folders.folder("output")
    (output / "view" / "sub").mkdir(parents=True)
    square = png((64, 64))
    for name in ("top.png", "view/a..b.png", "view/sub/deep.png", "view/sp ace é.png"):
        (output / name).write_bytes(square)
    (running.folders.folder("input") / "vin.png").write_bytes(png((128, 128)))
    (running.folders.folder("temp") / "t.png").write_bytes(square)
    (running.folders.base / "secret.png").write_bytes(square)
    for name in ("movie.webm", "noext", "page.html"):
        (output / "view" / name).write_bytes(b"123")
    (output / "view" / "broken.png").write_bytes(b"not an image")
    Image.new("RGBA", (32, 32), (9, 9, 9, 99)).save(output / "view" / "rgba.png")
    for case in recorded("view")["cases"]:
        headers = {name: value.replace("99999", "999999") for name, value in case["headers"].items()}
        answer = raw(url, case["method"], quote(case["path"], safe="/?=&;%[]"), headers)
        seen = {"path": case["path"], "status": answer.status, "picture": None}
        if case["picture"]:
            with Image.open(io.BytesIO(answer.content)) as picture:
                seen["picture"] = {"format": picture.format, "size": list(picture.size), "mode": picture.mode}
        assert seen == {key: case[key] for key in seen}
        if case["status"] == 200:
            # http.client reads headers as latin-1; the server sends UTF-8.
            disposition = answer.headers["Content-Disposition"].encode("latin-1").decode()
            assert (answer.headers["Content-Type"], disposition) == (case["type"], case["disposition"])
    running.stop()


def test_a_file_seen_before_is_not_sent_again(client: Client, server: ComfyUIServer) -> None:
    first = client.get("/view", filename="in.png", type="input")
    again = raw(client.url, "GET", "/view?filename=in.png&type=input", {"If-None-Match": first.headers["Etag"]})
    assert (first.status_code, again.status, again.content) == (200, 304, b"")


def test_a_mask_is_put_on_the_picture_it_was_drawn_for(client: Client, server: ComfyUIServer) -> None:
    drawn = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 40)).save(drawn, "PNG")
    for original, written in (("in.png", True), ("missing.png", False)):
        reference = json.dumps({"filename": original, "type": "input"})
        answer = client.upload_to("/upload/mask", f"masked-{original}", drawn.getvalue(), original_ref=reference)
        assert answer == {"name": f"masked-{original}", "subfolder": "", "type": "input"}
        assert (server.folders.folder("input") / f"masked-{original}").is_file() is written
    with Image.open(server.folders.folder("input") / "masked-in.png") as masked:
        assert masked.convert("RGBA").getpixel((0, 0)) == (255, 0, 0, 40)


def test_files_are_numbered_behind_the_highest_one(client: Client, server: ComfyUIServer) -> None:
    client.connect()
    folder = server.folders.folder("output") / "num"

    def saved(seed: int) -> str:
        entry = client.run(graph(n3={"seed": seed}, n6={"filename_prefix": "num/a"}))
        return entry["outputs"]["6"]["images"][0]["filename"]

    assert [saved(seed) for seed in (1, 2, 3)] == ["a_00001_.png", "a_00002_.png", "a_00003_.png"]
    (folder / "a_00002_.png").unlink()
    assert saved(4) == "a_00004_.png"
    (folder / "a_00004_.png").unlink()
    assert saved(5) == "a_00004_.png"
    (folder / "a_99999_.png").write_bytes(b"")
    assert saved(6) == "a_100000_.png"


@pytest.mark.parametrize(
    ("prefix", "subfolder", "filename"),
    [
        ("plain", "", "plain_00001_.png"),
        ("deep/er/x", "deep/er", "x_00001_.png"),
        ("folder/", "", "folder_00001_.png"),
        ("", "", "._00001_.png"),
        ("p/%width%x%height%", "p", "64x64_00001_.png"),
        ("p/%KSampler.seed%", "p", "%KSampler.seed%_00001_.png"),
        ("p/../q/x", "q", "x_00001_.png"),
        ("p/my café 猫", "p", "my café 猫_00001_.png"),
    ],
)
def test_a_prefix_becomes_folder_and_name(client: Client, prefix: str, subfolder: str, filename: str) -> None:
    client.connect()
    entry = client.run(graph(n6={"filename_prefix": prefix}))
    expected = {"filename": filename, "subfolder": subfolder, "type": "output"}
    assert entry["outputs"]["6"]["images"] == [expected]
    assert client.get("/view", **expected).status_code == 200


def test_a_batch_gives_one_file_each_under_seeds_of_their_own(client: Client) -> None:
    client.connect()
    prompt = graph(n3={"latent_image": ["8", 0]}, n6={"filename_prefix": "batch/b%batch_num%"})
    prompt["8"] = {"class_type": "RepeatLatentBatch", "inputs": {"samples": ["2", 0], "amount": 2}}
    images = client.run(prompt)["outputs"]["6"]["images"]
    assert [image["filename"] for image in images] == ["b0_00001_.png", "b1_00002_.png"]


def test_the_png_carries_the_graph_as_run_and_the_clients_own_keys(client: Client) -> None:
    client.connect()
    extra = {"extra_pnginfo": {"workflow": {"nodes": []}, "my_job": "café"}, "other": "not embedded"}
    entry = client.run(graph(n6={"filename_prefix": "png/x"}), extra_data=extra)
    made = client.get("/view", **entry["outputs"]["6"]["images"][0]).content
    with Image.open(io.BytesIO(made)) as picture:
        texts = {key: json.loads(value) for key, value in picture.text.items()}  # type: ignore[attr-defined]
    assert len(texts["prompt"]["1"].pop("is_changed")[0]) == 64
    assert texts == {"prompt": graph(n6={"filename_prefix": "png/x"}), "workflow": {"nodes": []}, "my_job": "café"}
    assert "is_changed" not in entry["prompt"][2]["1"]


def test_a_preview_image_is_temporary(client: Client) -> None:
    client.connect()
    prompt = graph(n6={"filename_prefix": "temp/kept"})
    prompt["7"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    image = client.run(prompt)["outputs"]["7"]["images"][0]
    assert image["type"] == "temp"
    assert client.get("/view", **image).status_code == 200
    assert client.get("/view", filename=image["filename"]).status_code == 404


def test_only_the_white_of_a_mask_is_painted(client: Client) -> None:
    client.connect()
    half = Image.new("L", (64, 64), 0)
    half.paste(255, (0, 0, 32, 64))
    out = io.BytesIO()
    half.save(out, "PNG")
    client.upload("half.png", out.getvalue())
    prompt = graph(n3={"latent_image": ["12", 0]}, n6={"filename_prefix": "mask/x"})
    prompt["11"] = {"class_type": "LoadImageMask", "inputs": {"image": "half.png", "channel": "red"}}
    prompt["12"] = {"class_type": "SetLatentNoiseMask", "inputs": {"samples": ["2", 0], "mask": ["11", 0]}}
    made = client.get("/view", **client.run(prompt)["outputs"]["6"]["images"][0]).content
    with Image.open(io.BytesIO(made)) as picture:
        assert picture.getpixel((5, 5)) == (0, 255, 255)  # the stand-in inverts red
        assert picture.getpixel((60, 5)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("inputs", "size"),
    [
        ({"width": 32, "height": 16, "crop": "center"}, (32, 16)),
        ({"width": 0, "height": 16, "crop": "disabled"}, (32, 16)),
        ({"width": 0, "height": 0, "crop": "disabled"}, (128, 64)),
    ],
)
def test_a_picture_is_scaled(client: Client, inputs: Dict[str, Any], size: Any) -> None:
    client.connect()
    client.upload("wide.png", png((128, 64)))
    prompt = graph(n1={"image": "wide.png"}, n6={"images": ["7", 0], "filename_prefix": "scale/x"})
    inputs = {"image": ["1", 0], "upscale_method": "lanczos", **inputs}
    prompt["7"] = {"class_type": "ImageScale", "inputs": inputs}
    made = client.get("/view", **client.run(prompt)["outputs"]["6"]["images"][0]).content
    with Image.open(io.BytesIO(made)) as picture:
        assert picture.size == size


def test_a_turned_photograph_is_loaded_upright_and_an_output_can_be_an_input(client: Client) -> None:
    client.connect()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    out = io.BytesIO()
    Image.new("RGB", (64, 32), "red").save(out, "JPEG", exif=exif)
    client.upload("turned.jpg", out.getvalue())
    entry = client.run(graph(n1={"image": "turned.jpg"}, n6={"filename_prefix": "turned"}))
    image = entry["outputs"]["6"]["images"][0]
    with Image.open(io.BytesIO(client.get("/view", **image).content)) as picture:
        assert picture.size == (32, 64)
    again = client.run(graph(n1={"image": f"{image['filename']} [output]"}))
    assert again["status"]["status_str"] == "success"


# --- odd requests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", recorded("origin")["cases"], ids=lambda case: f"{case['method']} {case['note']}")
def test_pages_of_other_origins_are_refused_as_recorded(client: Client, case: Dict[str, Any]) -> None:
    port = client.url.rpartition(":")[2]
    headers = {name: value.replace("8190", port) for name, value in case["headers"].items()}
    if headers.get("Upgrade"):
        assert handshake(int(port), case["path"], headers.get("Origin")) == case["status"]
    else:
        assert raw(client.url, case["method"], case["path"], headers).status == case["status"]


def handshake(port: int, path: str, origin: Any) -> int:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Version: 13"]
    lines += [f"Origin: {origin}"] if origin else []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(connection.recv(12).split()[1])


def test_every_route_answers_under_api_as_well(client: Client) -> None:
    for path in ("/system_stats", "/features", "/object_info/KSampler", "/models", "/embeddings", "/queue", "/history"):
        assert client.get(f"/api{path}").status_code == client.get(path).status_code == 200


def test_the_server_introduces_itself_with_the_recorded_keys(client: Client) -> None:
    keys, stats = recorded("messages")["keys"], client.get("/system_stats").json()
    assert (sorted(stats["system"]), sorted(stats["devices"][0])) == (keys["system"], keys["device"])
    assert client.get("/models/checkpoints").json() == ["builtin.safetensors"]
    assert client.get("/models/nosuchfolder").status_code == 404
    assert client.get("/embeddings").json() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/no/such/route", 404, b""),
        ("GET", "/upload/image", 404, b""),
        ("DELETE", "/system_stats", 405, b"405: Method Not Allowed"),
        ("POST", "/view?filename=top.png", 405, b"405: Method Not Allowed"),
        ("POST", "/queue", 500, b"500 Internal Server Error\n\nServer got itself in trouble"),
        ("POST", "/free", 500, b"500 Internal Server Error\n\nServer got itself in trouble"),
        ("HEAD", "/system_stats", 200, b""),
    ],
)
def test_odd_requests(client: Client, method: str, path: str, status: int, body: bytes) -> None:
    answer = raw(client.url, method, path)
    assert (answer.status, answer.content) == (status, body)


def test_a_body_beyond_the_limit_is_refused_with_the_limit(client: Client) -> None:
    limit = client.get("/features").json()["max_upload_size"]
    answer = client.post("/prompt", {"prompt": {}, "filler": "x" * limit})
    assert answer.status_code == 413
    assert answer.text.startswith(f"Maximum request body size {limit} exceeded")
