"""What a new container is made of: from the one it replaces, or for the first one from its description. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline.core.handoff import ContainerSpec
from pipeline.core.text import line
from pipeline.errors import UsageError
from pipeline.tools.docker.containers import Creation
from pipeline.tools.docker.inspection import Config, Container, Endpoint, Mount

_BUILT_IN = frozenset({"", "default", "bridge", "host", "none", "nat"})
_PORT = re.compile(r"(?:(?P<ip>\[[0-9a-fA-F:]+\]|\d+(?:\.\d+){3}):)?(?:(?P<host>\d*):)?(?P<inside>\d+)(?:/(?P<protocol>tcp|udp|sctp))?\Z")
_RESTART = re.compile(r"(no|always|unless-stopped|on-failure)(?::(\d+))?\Z")
ID_DIGITS = 12


def successor(old: Container, image_config: Config, image: str, name: str, labels: Mapping[str, str]) -> Creation:
    """The container that replaces `old` and runs `image`.

    The host's side (ports, limits, devices, restart policy, log, …), mounts with anonymous volumes, and networks are the old one's.
    Of the program's side, what differs from `image_config`, the old image's own, was set by whoever runs it and is kept; the rest is
    left to the new image. `name` becomes an alias in the old one's own networks, so that it is found while it is tried.
    """
    networks = _networks(old, name)
    primary = _primary(old, networks)
    body = _operators(old.config, image_config) | {
        "Image": image,
        "Labels": _difference(old.labels, image_config.labels) | dict(labels),
        "HostConfig": _host(old),
        "NetworkingConfig": {"EndpointsConfig": {primary: msgspec.to_builtins(networks.pop(primary))} if primary else {}},
    }
    mode = str(old.host.get("NetworkMode", ""))
    shares_name = mode.startswith("container:") or old.host.get("UTSMode") == "host"
    if old.config.hostname and old.config.hostname != old.id[:ID_DIGITS] and not shares_name:
        body |= {"Hostname": old.config.hostname, "Domainname": old.config.domainname}
    return Creation(body, networks)


def first(spec: ContainerSpec, secrets: Mapping[str, str], image: str, labels: Mapping[str, str]) -> Creation:
    """The first container of an environment. `secrets`: their values by the name of the variable. Raises `UsageError`."""
    ports = [_port(one) for one in spec.ports]
    volumes = [_volume(one) for one in spec.volumes]
    networks = {one: Endpoint(aliases=() if one in _BUILT_IN else (spec.name,)) for one in spec.networks}
    primary = spec.networks[0] if spec.networks else ""
    host: dict[str, Any] = {
        "Binds": [one for one in volumes if ":" in one],
        "PortBindings": _grouped(ports),
        "RestartPolicy": _restart(spec.restart),
    }
    body: dict[str, Any] = {
        "Image": image,
        "Env": [f"{key}={value}" for key, value in {**spec.env, **secrets}.items()],
        "Labels": dict(labels),
        "ExposedPorts": {inside: {} for inside, _ in ports},
        "Volumes": {one: {} for one in volumes if ":" not in one},
        "HostConfig": host,
    }
    if primary:
        host["NetworkMode"] = primary
        body["NetworkingConfig"] = {"EndpointsConfig": {primary: msgspec.to_builtins(networks.pop(primary))}}
    return Creation(body, networks)


def idle(image: str, labels: Mapping[str, str]) -> Creation:
    """A container that is never started: only its name and labels matter."""
    return Creation({"Image": image, "Entrypoint": ["-"], "Cmd": [], "Labels": dict(labels), "HostConfig": {"NetworkMode": "none"}})


def _operators(config: Config, own: Config) -> dict[str, Any]:
    """What of the program's side was set by hand, in the engine's words."""
    kept: dict[str, Any] = {"Tty": config.tty, "OpenStdin": config.open_stdin, "StdinOnce": config.stdin_once}
    kept["NetworkDisabled"] = config.network_disabled
    kept["Env"] = [one for one in config.env or () if one not in (own.env or ())]
    kept["ExposedPorts"] = {port: {} for port in config.exposed_ports or {} if port not in (own.exposed_ports or {})}
    named = {"User": "user", "WorkingDir": "working_dir", "Healthcheck": "healthcheck", "StopSignal": "stop_signal", "Shell": "shell"}
    for key, field in named.items():
        if getattr(config, field) != getattr(own, field):
            kept[key] = getattr(config, field)
    if config.stop_timeout is not None:
        kept["StopTimeout"] = config.stop_timeout
    # An entrypoint set by hand resets the image's command, so both are kept then; [""] is how the engine is told "none".
    if (config.entrypoint or ()) != (own.entrypoint or ()):
        kept |= {"Entrypoint": list(config.entrypoint or ("",)), "Cmd": list(config.cmd or ())}
    elif (config.cmd or ()) != (own.cmd or ()):
        kept["Cmd"] = list(config.cmd or ())
    return kept


def _difference(config: Mapping[str, str], own: Mapping[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in config.items() if (own or {}).get(key) != value}


def _host(old: Container) -> dict[str, Any]:
    """The host's side, with every mount named: anonymous volumes and those taken from other containers as well."""
    host = dict(old.host)
    volumes = {posixpath.normpath(one.destination): one.name for one in old.mounts if one.type == "volume"}
    named = [_named(one, volumes) for one in host.get("Mounts") or ()]
    binds = list(host.get("Binds") or ())
    covered = {posixpath.normpath(one["Target"]) for one in named} | {posixpath.normpath(one.split(":")[1]) for one in binds}
    binds += [_bind(one) for one in old.mounts if one.type in {"volume", "bind"} and posixpath.normpath(one.destination) not in covered]
    return host | {"Binds": binds, "Mounts": named, "VolumesFrom": None, "Links": [_link(one) for one in host.get("Links") or ()]}


def _named(mount: Mapping[str, Any], volumes: Mapping[str, str]) -> dict[str, Any]:
    anonymous = mount.get("Type") == "volume" and not mount.get("Source")
    return {**mount, "Source": volumes[posixpath.normpath(mount["Target"])]} if anonymous else dict(mount)


def _bind(mount: Mount) -> str:
    flags = [one for one in mount.mode.split(",") if one and one not in {"ro", "rw"}]
    if mount.type == "bind" and mount.propagation not in {"", "rprivate", *flags}:
        flags.append(mount.propagation)
    flags.append("rw" if mount.writable else "ro")
    return f"{mount.name if mount.type == 'volume' else mount.source}:{mount.destination}:{','.join(flags)}"


def _link(link: str) -> str:
    """`/other:/this/alias`, as the engine shows it, is `other:alias`, as it wants it."""
    other, _, here = link.partition(":")
    return f"{other.removeprefix('/')}:{here.rpartition('/')[2]}"


def _networks(old: Container, name: str) -> dict[str, Endpoint]:
    """The networks that the old one joined, with what was asked for there; not what the engine assigned."""
    joined = {network: one for network, one in (old.network.networks or {}).items() if network not in _BUILT_IN}
    return {network: msgspec.structs.replace(one, network_id="", aliases=_aliases(one, old, name)) for network, one in joined.items()}


def _aliases(endpoint: Endpoint, old: Container, name: str) -> tuple[str, ...]:
    given = [one for one in endpoint.aliases or () if one != old.id[:ID_DIGITS]]
    return tuple(dict.fromkeys([*given, name]))


def _primary(old: Container, networks: Mapping[str, Endpoint]) -> str:
    """The network it is created in: the mode names it, or begins its ID."""
    mode = str(old.host.get("NetworkMode", ""))
    known = old.network.networks or {}
    return next((one for one in networks if mode == one or (len(mode) >= ID_DIGITS and known[one].network_id.startswith(mode))), "")


def _port(text: str) -> tuple[str, dict[str, str]]:
    found = _PORT.match(text)
    numbers = [int(one) for one in (found["inside"], found["host"] or "1")] if found else [0]
    if not found or not all(0 < one < 65536 for one in numbers):
        raise UsageError(f"{line(text, 80)} is not a published port", mend='write it as "8080:8080" or "127.0.0.1:8080:80/tcp"')
    address = (found["ip"] or "").strip("[]")
    return f"{found['inside']}/{found['protocol'] or 'tcp'}", {"HostIp": address, "HostPort": found["host"] or ""}


def _grouped(ports: Iterable[tuple[str, dict[str, str]]]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for inside, outside in ports:
        bindings.setdefault(inside, []).append(outside)
    return bindings


def _volume(text: str) -> str:
    parts = text.split(":")
    inside = parts[0] if len(parts) == 1 else parts[1]
    if len(parts) > 3 or not all(parts) or not inside.startswith("/") or parts[0].startswith("."):
        raise UsageError(
            f"{line(text, 200)} is not a volume", mend='write it as "/on/host:/inside", "name:/inside" or "/inside", with :ro if wanted'
        )
    return text


def _restart(text: str) -> dict[str, Any]:
    found = _RESTART.match(text or "no")
    if not found or (found[2] and found[1] != "on-failure"):
        raise UsageError(f"{line(text, 80)} is not a restart policy", mend="write no, always, unless-stopped, on-failure or on-failure:3")
    return {"Name": found[1], "MaximumRetryCount": int(found[2] or 0)}
