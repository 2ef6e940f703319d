"""What schemathesis sends beside what it makes up: credentials, and names of what is really there.

LIVING names a JSON file: {"show": {credential: value}, "nodes": [node], "there": {kind: [names]},
"spare": {kind: [names]}}. LISTENER says which one is asked: "control", "ingest", or "door", that of nodes.
"""

import json
import os
import random

import schemathesis
from schemathesis.core.parameters import ParameterLocation

with open(os.environ["LIVING"], encoding="utf-8") as file:
    LIVING = json.load(file)
SHOW, THERE, SPARE = LIVING["show"], LIVING["there"], LIVING["spare"]
AT_DOOR = os.environ["LISTENER"] == "door"
THERE["file"] = ["master.m3u8", "master_ts.m3u8", "manifest.mpd"]
DICE = random.Random(int(os.environ["SEED"]))
ADDRESSES = iter(range(1, 2**24))

# What a parameter or a member of a body names, by the path's beginning where the name alone does not tell.
KINDS = {
    "video_id": "film", "video": "film", "session": "session", "session_id": "session", "channel_id": "channel",
    "user_id": "user", "api_key_id": "key", "grant_id": "grant", "seq": "purge", "refresh_token": "refresh",
    "sid": "session", "upload": "upload", "kids": "kid", "secret": "secret", "csr": "csr", "base": "base", "plain": "base",
}
# Lists of names.
LISTS = {"kids": "kid", "prefixes": "network"}
ROOMS = {
    "/v1/videos/upload/tus": "tus", "/v1/videos/upload": "upload", "/v1/videos": "film", "/v/": "film", "/v1/users": "user", "/v1/api-keys": "key",
    "/v1/grants": "grant", "/v1/channels": "channel", "/v1/fleet/joins": "join", "/v1/fleet/nodes": "node",
}
# What ends what it names: each time another one.
ENDS = {("DELETE", "/v1/"), ("POST", "/v1/playback/{session}/stop"), ("POST", "/v1/auth/"), ("POST", "/v1/fleet/enroll")}
# What nothing ends.
LASTING = {"csr", "base", "network"}


@schemathesis.serializer("application/cmcd", "application/offset+octet-stream")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers = dict(case.headers or {})
    # Everybody is somebody else, as far as limits go.
    number = next(ADDRESSES)
    case.headers["millrace-client-ip"] = f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}"
    if AT_DOOR:
        as_a_node(case, kwargs)
    elif case.meta is None or not case.meta.is_negative_at(ParameterLocation.HEADER):
        credentials(case)
    if case.query and case.path == "/v1/fleet/feed":
        # An answer that is held back, and a node that never says how far it is, take seconds each.
        if "wait" in case.query:
            case.query["wait"] = 0
        if not AT_DOOR and DICE.random() < 0.95:
            case.query.pop("node", None)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    ends = any(case.method == method and case.path.startswith(path) for method, path in ENDS)
    for name in list(case.path_parameters or {}):
        if DICE.random() < 0.7:
            kind = KINDS.get(name) if name not in ("id", "name") else room(case.path)
            # Steered manifests come from edges, and there are none here.
            if name == "file" and case.path.startswith("/v/"):
                kind = "file"
            case.path_parameters[name] = pick(kind, ends, case.path_parameters[name])
    if isinstance(case.body, (dict, list)):
        case.body = named(case.body, ends)
        if case.path == "/v1/fleet/joins" and "name" in case.body and DICE.random() < 0.3:
            case.body["name"] = pick("node", False, case.body["name"])


def room(path):
    return next((kind for begin, kind in ROOMS.items() if path.startswith(begin)), None)


def pick(kind, ends, otherwise):
    ends = ends and kind not in LASTING
    names = (SPARE if ends else THERE).get(kind)
    if not names:
        return otherwise
    return names.pop() if ends else DICE.choice(names)


def named(value, ends):
    if isinstance(value, list):
        return [named(one, ends) for one in value]
    if not isinstance(value, dict):
        return value
    told = {}
    for name, one in value.items():
        if isinstance(one, str) and name in KINDS and DICE.random() < 0.7:
            told[name] = pick(KINDS[name], ends, one)
        elif name in LISTS and DICE.random() < 0.7:
            told[name] = [pick(LISTS[name], False, one)]
        else:
            told[name] = named(one, ends)
    return told


def as_a_node(case, kwargs):
    """Shows a node's certificate; one of the nodes was dismissed."""
    node = DICE.choice(LIVING["nodes"])
    if DICE.random() < 0.95:
        kwargs["cert"] = tuple(node["cert"])
    THERE["csr"] = [node["csr"]]
    positive = case.meta is None or case.meta.generation.mode.is_positive
    if positive and case.query and "node" in case.query and DICE.random() < 0.7:
        case.query["node"] = node["name"]


def credentials(case):
    path, roll = case.path, DICE.random()
    if path.startswith(("/v1/keys/", "/v1/speke")) or path.endswith("/cpix"):
        case.headers["millrace-hop"] = SHOW["origin"] if roll < 0.9 else "wrong"
    if path == "/v1/fleet/feed":
        case.headers["millrace-hop"] = SHOW["hop"] if roll < 0.9 else "wrong"
    if path == "/v1/drm/token":
        shown = DICE.choice(SHOW["renewal"])
    elif path.startswith("/v1/drm/"):
        shown = DICE.choice(SHOW["license"])
    elif path.startswith("/v1/users/me") or path == "/v1/channels":
        shown = SHOW["access"]
    else:
        shown = SHOW["operator"] if roll < 0.8 else SHOW["access"]
    if roll < 0.95:
        case.headers["Authorization"] = f"Bearer {shown}"
    elif roll < 0.98:
        case.headers["Authorization"] = "Bearer wrong"
