"""The built-in generator on the wire: jobs, messages, queue, history, cache."""

from __future__ import annotations

import io
import json
import struct
import threading
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import requests
import websocket
from PIL import Image
from sandbox_clients import Client, StandInSampler, graph, kinds, png, recorded

from imagination.sandbox.comfyui_server import ComfyUIServer

RECORDED = recorded("messages")


@pytest.fixture
def sampler() -> StandInSampler:
    return StandInSampler()


@pytest.fixture
def server(sampler: StandInSampler) -> Iterator[str]:
    running = ComfyUIServer(sampler)
    yield running.start()
    sampler.gate.set()
    running.stop()


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    client = Client(server)
    client.upload("in.png", png())
    client.connect()
    assert next(client.hear())["data"]["sid"] == "client-a"
    yield client
    client.close()


def shape(messages: List[Dict[str, Any]]) -> List[Tuple[str, List[str]]]:
    return [(message["type"], sorted(message["data"])) for message in messages]


def recorded_shape(name: str) -> List[Tuple[str, List[str]]]:
    return [(kind, keys) for kind, _, keys in RECORDED[name]]


def test_a_fresh_run_tells_what_the_recorded_server_told(client: Client) -> None:
    heard = client.until_over(client.submit(graph()))
    assert shape(heard) == recorded_shape("fresh_run")
    nodes = {message["data"]["node"] for message in heard if message["type"] == "executing"}
    assert nodes == {node for kind, node, _ in RECORDED["fresh_run"] if kind == "executing"}


def test_the_same_prompt_again_runs_nothing_and_gives_the_same_file(client: Client) -> None:
    first = client.run(graph())
    prompt_id = client.submit(graph())
    assert shape(client.until_over(prompt_id)) == recorded_shape("same_again")
    assert client.get(f"/history/{prompt_id}").json()[prompt_id]["outputs"] == first["outputs"]


@pytest.mark.parametrize(
    ("changes", "rerun"),
    [
        ({"n9": {"text": "a blue house"}}, {"9", "3", "5", "6"}),
        ({"n3": {"seed": 2}}, {"3", "5", "6"}),
        ({"n6": {"filename_prefix": "t/other"}}, {"6"}),
    ],
)
def test_only_what_a_change_reaches_is_run_again(client: Client, changes: Dict[str, Any], rerun: Any) -> None:
    client.run(graph())
    heard = client.until_over(client.submit(graph(**changes)))
    assert {m["data"]["node"] for m in heard if m["type"] == "executing"} - {None} == rerun


def test_new_bytes_under_an_old_name_are_noticed(client: Client) -> None:
    client.run(graph())
    client.upload("in.png", png(color="blue"), overwrite="true")
    heard = client.until_over(client.submit(graph()))
    assert {"1", "2", "3"} <= {m["data"]["node"] for m in heard if m["type"] == "executing"}


def test_node_ids_are_no_part_of_the_cache(client: Client) -> None:
    client.run(graph())
    renamed = json.loads(json.dumps(graph()).replace('"9"', '"99"'))
    prompt_id = client.submit(renamed)
    assert "progress" not in kinds(client.until_over(prompt_id))


def test_the_work_of_two_equal_nodes_is_done_once(client: Client) -> None:
    # as a real 0.3.64 told it for two CLIPTextEncode of the same text
    heard = client.until_over(client.submit(graph(n9={"text": "a lake"}, n10={"text": "a lake"})))
    ran = [m["data"]["node"] for m in heard if m["type"] == "executing"]
    assert len({"9", "10"} & set(ran)) == 1
    (spared,) = {"9", "10"} - set(ran)
    at = next(i for i, m in enumerate(heard) if m["type"] == "executed" and m["data"]["node"] == spared)
    assert heard[at]["data"]["output"] is None
    after = heard[at + 1]["data"]["nodes"][spared]
    assert (after["state"], after["value"], after["max"]) == ("finished", 1, 1)


def test_the_keys_of_a_message_stand_in_the_recorded_order(client: Client) -> None:
    heard = {m["type"]: list(m["data"]) for m in client.until_over(client.submit(graph()))}
    assert heard["progress_state"] == ["prompt_id", "nodes"]
    assert heard["progress"] == ["value", "max", "prompt_id", "node"]
    assert heard["executed"] == ["node", "display_node", "output", "prompt_id"]


def test_free_memory_makes_the_next_run_write_a_second_file(client: Client, sampler: StandInSampler) -> None:
    client.run(graph())
    assert client.post("/free", {"unload_models": True}).status_code == 200
    client.run(graph())
    assert len(sampler.calls) == 1
    assert client.post("/free", {"free_memory": True}).content == b""
    entry = client.run(graph())
    assert entry["outputs"]["6"]["images"][0]["filename"] == "x_00002_.png"
    assert len(sampler.calls) == 2


def test_the_sampler_gets_the_values_of_the_graph(client: Client, sampler: StandInSampler) -> None:
    client.upload("odd.png", png((130, 100)))
    client.run(graph(n1={"image": "odd.png"}, n3={"seed": 2**64 - 1, "denoise": 0.35}))
    expected = {"positive": "a red house", "negative": "blurry", "size": (128, 96), "seed": 2**64 - 1, "steps": 4}
    expected.update({"cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.35})
    assert sampler.calls == [expected]


def test_a_history_entry_has_the_recorded_keys(client: Client) -> None:
    entry = client.run(graph(), extra_data={"extra_pnginfo": {"job": 7}})
    keys = RECORDED["keys"]
    assert sorted(entry) == keys["history_entry"]
    assert sorted(entry["status"]) == keys["status"]
    assert sorted(entry["meta"]["6"]) == keys["meta"]
    assert entry["status"]["status_str"] == "success"
    assert [message[0] for message in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    assert entry["prompt"][2:] == [graph(), {"extra_pnginfo": {"job": 7}, "client_id": "client-a"}, ["6"]]


def test_a_file_that_is_no_picture_fails_the_run_as_recorded(client: Client) -> None:
    client.run(graph())
    client.upload("corrupt.png", b"not an image")
    prompt_id = client.submit(graph(n1={"image": "corrupt.png"}))
    heard = client.until_over(prompt_id)
    assert shape(heard) == recorded_shape("node_fails")
    error = next(message["data"] for message in heard if message["type"] == "execution_error")
    assert sorted(error) == RECORDED["keys"]["execution_error"]
    assert (error["node_id"], error["node_type"], error["executed"]) == ("1", "LoadImage", [])
    assert error["exception_type"] == "PIL.UnidentifiedImageError"
    assert error["exception_message"].startswith("cannot identify image file")
    entry = client.get(f"/history/{prompt_id}").json()[prompt_id]
    assert entry["status"]["status_str"] == "error"
    assert not entry["status"]["completed"]
    assert entry["status"]["messages"][-1] == ["execution_error", error]


def test_plain_text_in_place_of_a_link_fails_when_it_runs(client: Client) -> None:
    entry = client.run(graph(n3={"positive": "text"}))
    kind, error = entry["status"]["messages"][-1]
    assert (kind, error["node_type"], error["current_inputs"]["positive"]) == ("execution_error", "KSampler", ["text"])


def test_a_prefix_that_leaves_the_output_folder_fails_when_it_runs(client: Client) -> None:
    for prefix in ("../x", "/x"):
        entry = client.run(graph(n6={"filename_prefix": prefix}))
        message = entry["status"]["messages"][-1][1]["exception_message"]
        assert message.startswith("**** ERROR: Saving image outside the output folder is not allowed.")


def test_one_invalid_output_is_dropped_and_the_other_one_runs(client: Client) -> None:
    prompt = graph()
    prompt["8"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "../no"}}
    prompt["7"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "never"}}
    entry = client.run(prompt)
    assert entry["prompt"][4] == ["6", "8"]
    assert list(entry["outputs"]) == ["6"]  # made before the failure, and kept under status error
    assert entry["status"]["status_str"] == "error"


def test_an_interrupt_takes_effect_at_the_next_step(client: Client, sampler: StandInSampler) -> None:
    client.run(graph())
    client.upload("next.png", png(color="green"))
    sampler.hold()
    prompt_id = client.submit(graph(n1={"image": "next.png"}))
    assert sampler.reached.wait(10)
    assert client.post("/interrupt").content == b""
    sampler.gate.set()
    heard = client.until_over(prompt_id)
    assert shape(heard) == recorded_shape("interrupted")
    data = next(message["data"] for message in heard if message["type"] == "execution_interrupted")
    assert sorted(data) == RECORDED["keys"]["execution_interrupted"]
    assert (data["node_id"], data["executed"]) == ("3", ["1", "2"])
    assert client.get(f"/history/{prompt_id}").json()[prompt_id]["status"]["status_str"] == "error"


@pytest.mark.parametrize(("body", "ends"), [("some-other-id", "success"), ("mine", "error"), ("", "error")])
def test_an_interrupt_that_names_a_prompt_stops_only_that_one(
    client: Client, sampler: StandInSampler, body: str, ends: str
) -> None:
    sampler.hold()
    prompt_id = client.submit(graph(), prompt_id="mine")
    assert sampler.reached.wait(10)
    assert client.post("/interrupt", {"prompt_id": body}).status_code == 200
    sampler.gate.set()
    client.until_over(prompt_id)
    assert client.get("/history/mine").json()["mine"]["status"]["status_str"] == ends


def test_an_interrupt_while_idle_does_not_carry_over(client: Client) -> None:
    client.post("/interrupt")
    assert client.run(graph())["status"]["status_str"] == "success"


def test_odd_interrupts(client: Client) -> None:
    assert requests.post(f"{client.url}/interrupt", data="not json", timeout=5).status_code == 200
    assert client.post("/interrupt", []).status_code == 500


def test_the_queue_shows_what_runs_and_waits_and_a_waiting_prompt_can_be_deleted(
    client: Client, sampler: StandInSampler
) -> None:
    sampler.hold()
    running = client.submit(graph())
    assert sampler.reached.wait(10)
    waiting = [client.submit(graph(n3={"seed": seed})) for seed in (11, 12)]
    assert client.get("/prompt").json() == {"exec_info": {"queue_remaining": 3}}
    shown = client.get("/queue").json()
    assert [entry[1] for entry in shown["queue_running"]] == [running]
    assert sorted(entry[1] for entry in shown["queue_pending"]) == sorted(waiting)
    assert shown["queue_running"][0][2:] == [graph(), {"client_id": "client-a"}, ["6"]]
    client.post("/queue", {"delete": [running, waiting[0], "no-such-id"]})
    assert [entry[1] for entry in client.get("/queue").json()["queue_pending"]] == [waiting[1]]
    client.post("/queue", {"clear": True})
    sampler.gate.set()
    client.until_over(running)
    assert client.get("/queue").json() == {"queue_running": [], "queue_pending": []}
    assert list(client.get("/history").json()) == [running]


def test_lower_numbers_run_first_and_front_gives_a_negative_one(client: Client, sampler: StandInSampler) -> None:
    sampler.hold()
    first = client.submit(graph())
    assert sampler.reached.wait(10)
    numbers = {}
    for name, more in (("plain", {}), ("front", {"front": True}), ("number", {"number": 0.5})):
        body = {"prompt": graph(n3={"seed": len(name)}), "prompt_id": name, "client_id": "client-a", **more}
        numbers[name] = client.post("/prompt", body).json()["number"]
    assert numbers == {"plain": 1, "front": -2, "number": 0.5}
    sampler.gate.set()
    client.until_over("plain")
    assert list(client.get("/history").json()) == [first, "front", "number", "plain"]


@pytest.mark.parametrize("prompt_id", ["11111111-2222-4333-8444-555555555555", "not a uuid", "a/b"])
def test_the_caller_may_choose_the_prompt_id(client: Client, prompt_id: str) -> None:
    client.run(graph(), prompt_id="earlier")
    assert client.submit(graph(n3={"seed": 2}), prompt_id=prompt_id) == prompt_id
    client.until_over(prompt_id)
    quoted = requests.utils.quote(prompt_id, safe="")
    assert list(client.get(f"/history/{quoted}").json()) == [prompt_id]


def test_a_repeated_prompt_id_does_the_work_again_and_overwrites_the_entry(client: Client) -> None:
    client.run(graph(), prompt_id="twice")
    entry = client.run(graph(n3={"seed": 2}), prompt_id="twice")
    assert entry["outputs"]["6"]["images"][0]["filename"] == "x_00002_.png"
    assert len(client.get("/history").json()) == 1


def test_history_pages_and_deletes(client: Client) -> None:
    for seed in range(3):
        client.run(graph(n3={"seed": seed}), prompt_id=str(seed))
    assert client.get("/history/no-such-id").json() == {}
    assert client.get("/history/").status_code == 404
    assert list(client.get("/history", max_items=1).json()) == ["2"]
    assert list(client.get("/history", max_items=1, offset=0).json()) == ["0"]
    assert client.get("/history", max_items=0).json() == {}
    assert client.get("/history", max_items="abc").status_code == 500
    client.post("/history", {"delete": ["1", "no-such-id"]})
    assert list(client.get("/history").json()) == ["0", "2"]
    client.post("/history", {"clear": True})
    assert client.get("/history").json() == {}


def test_a_prompt_without_a_client_tells_everyone_of_its_progress_but_not_of_its_end(client: Client) -> None:
    client.post("/prompt", {"prompt": graph()})
    heard = []
    for message in client.hear():
        heard.append(message["type"])
        if message["type"] == "status" and message["data"]["status"]["exec_info"]["queue_remaining"] == 0:
            break
    assert set(heard) == {"status", "progress", "progress_state"}


def test_only_the_prompts_client_hears_of_it(client: Client, server: str) -> None:
    other = Client(server, "client-b")
    other.connect()
    client.run(graph(), prompt_id="not theirs")
    other.submit(graph(), prompt_id="theirs")
    heard = other.until_over("theirs")
    assert {m["data"]["prompt_id"] for m in heard if m["type"] != "status"} == {"theirs"}
    other.close()


def test_a_second_connection_silences_the_first_and_is_lost_when_the_first_closes(client: Client) -> None:
    first, second = client.socket, client.connect()
    assert first is not None
    assert json.loads(second.recv())["data"]["sid"] == "client-a"
    prompt_id = client.submit(graph())
    assert "execution_success" in kinds(client.until_over(prompt_id))
    first.close()
    probe = Client(client.url, "probe")
    probe.connect()
    probe.run(graph(n3={"seed": 5}))  # by then the server has seen the first connection end
    second.settimeout(0.2)
    left = []
    with pytest.raises(websocket.WebSocketTimeoutException):
        while True:
            left.append(json.loads(second.recv())["type"])
    assert "executing" not in left
    probe.close()


def test_a_reconnect_in_mid_run_is_met_with_the_node_at_work_without_a_prompt_id(
    client: Client, sampler: StandInSampler
) -> None:
    sampler.hold()
    prompt_id = client.submit(graph())
    assert sampler.reached.wait(10)
    client.connect()
    messages = client.hear()
    assert next(messages)["data"]["status"]["exec_info"]["queue_remaining"] == 1
    assert next(messages) == {"type": "executing", "data": {"node": "3"}}
    sampler.gate.set()
    assert "execution_success" in kinds(client.until_over(prompt_id))


def test_http_is_answered_while_a_picture_is_made(client: Client, sampler: StandInSampler) -> None:
    sampler.hold()
    prompt_id = client.submit(graph())
    assert sampler.reached.wait(10)
    assert client.get("/system_stats").status_code == 200
    assert client.get(f"/history/{prompt_id}").json() == {}
    sampler.gate.set()
    client.until_over(prompt_id)


def test_previews_come_plain_or_with_a_label_for_those_who_announced_it(sampler: StandInSampler) -> None:
    server = ComfyUIServer(sampler, previews=True)
    url = server.start()
    frames = {}
    for name, first in (("plain", None), ("labelled", {"supports_preview_metadata": True})):
        client = Client(url, name)
        client.upload("in.png", png())
        socket = client.connect()
        if first:
            socket.send(json.dumps({"type": "feature_flags", "data": first}))
        prompt_id = client.submit(graph(n3={"seed": len(name), "steps": 1}))
        frames[name] = first_frame(socket)
        client.until_over(prompt_id)
        client.close()
    server.stop()
    assert struct.unpack(">II", frames["plain"][:8]) == (1, 1)
    with Image.open(io.BytesIO(frames["plain"][8:])) as preview:
        assert (preview.format, preview.size) == ("JPEG", (512, 512))
    event, length = struct.unpack(">II", frames["labelled"][:8])
    label = json.loads(frames["labelled"][8 : 8 + length])
    assert (event, label["node_id"], label["image_type"]) == (4, "3", "image/jpeg")
    assert frames["labelled"][8 + length :][:2] == b"\xff\xd8"


def first_frame(socket: websocket.WebSocket) -> bytes:
    while True:
        received = socket.recv()
        if isinstance(received, bytes):
            return received


def test_the_server_greets_feature_flags_only_as_the_first_message(client: Client) -> None:
    assert client.socket is not None
    flags = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
    client.socket.send(flags)
    client.socket.send(flags)
    answer = next(client.hear())
    assert answer["type"] == "feature_flags"
    assert answer["data"] == client.get("/features").json()
    assert "feature_flags" not in kinds(client.until_over(client.submit(graph())))


def test_a_deep_graph_is_no_heavier_than_a_flat_one(client: Client) -> None:
    prompt = graph(n3={"latent_image": ["140", 0]})
    for depth in range(101, 141):
        source = str(depth - 1) if depth > 101 else "2"
        prompt[str(depth)] = {"class_type": "RepeatLatentBatch", "inputs": {"samples": [source, 0], "amount": 1}}
    assert client.run(prompt)["status"]["status_str"] == "success"


def test_a_broken_node_that_nothing_needs_is_ignored(client: Client) -> None:
    prompt = graph()
    prompt["70"] = {"class_type": "LoadImage"}
    prompt["71"] = {"class_type": "LoadImage", "inputs": {}}
    prompt["72"] = {"class_type": "VAEDecode", "inputs": {"samples": ["999", 0]}}
    assert client.run(prompt)["status"]["status_str"] == "success"


def test_custom_sampling_nodes_reach_the_same_sampler(client: Client, sampler: StandInSampler) -> None:
    prompt = graph(n5={"samples": ["25", 0]})
    del prompt["3"]
    prompt["20"] = {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}}
    prompt["21"] = {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpmpp_2m"}}
    sigmas = {"model": ["4", 0], "scheduler": "karras", "steps": 3, "denoise": 0.6}
    prompt["22"] = {"class_type": "BasicScheduler", "inputs": sigmas}
    guider = {"model": ["4", 0], "positive": ["26", 0], "negative": ["27", 0], "cfg": 4.5}
    prompt["23"] = {"class_type": "CFGGuider", "inputs": guider}
    inputs = {"noise": ["20", 0], "guider": ["23", 0], "sampler": ["21", 0], "sigmas": ["22", 0]}
    prompt["25"] = {"class_type": "SamplerCustomAdvanced", "inputs": {**inputs, "latent_image": ["2", 0]}}
    prompt["26"] = {"class_type": "FluxGuidance", "inputs": {"conditioning": ["9", 0], "guidance": 3.5}}
    prompt["27"] = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["10", 0]}}
    assert client.run(prompt)["status"]["status_str"] == "success"
    expected = {"positive": "a red house", "negative": "", "size": (64, 64), "seed": 5, "steps": 3, "cfg": 4.5}
    assert sampler.calls == [{**expected, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 0.6}]


def test_the_advanced_sampler_turns_its_steps_into_denoise(client: Client, sampler: StandInSampler) -> None:
    prompt = graph()
    inputs = {k: v for k, v in prompt["3"]["inputs"].items() if k not in ("seed", "denoise")}
    inputs.update({"add_noise": "enable", "noise_seed": 9, "steps": 10, "start_at_step": 4, "end_at_step": 10000})
    inputs["return_with_leftover_noise"] = "disable"
    prompt["3"] = {"class_type": "KSamplerAdvanced", "inputs": inputs}
    client.run(prompt)
    assert (sampler.calls[0]["seed"], sampler.calls[0]["steps"], sampler.calls[0]["denoise"]) == (9, 10, 0.6)


def test_stopping_interrupts_the_run_and_removes_the_files(sampler: StandInSampler) -> None:
    server = ComfyUIServer(sampler)
    client = Client(server.start())
    client.upload("in.png", png())
    sampler.hold()
    client.submit(graph())
    assert sampler.reached.wait(10)
    threading.Timer(0.05, sampler.gate.set).start()
    server.stop()
    assert not server.folders.base.exists()
    with pytest.raises(requests.ConnectionError):
        client.get("/queue")
