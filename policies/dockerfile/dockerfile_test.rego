package pipeline.dockerfile_test

import data.pipeline.dockerfile

_instruction := {
	"keyword": "RUN", "line": 5, "end_line": 5, "raw": "", "flags": [], "args": [], "form": "", "heredocs": [], "pairs": [],
	"mounts": [], "from": null, "sources": [], "destination": "", "exposed": [], "onbuild": null,
}

_pinned := {
	"raw": "debian", "reference": concat("@", ["debian:12", "sha256:0123"]), "stage": null, "scratch": false,
	"repository": "debian", "tag": "12", "digest": "sha256:0123",
}

_stage := {"index": 0, "name": "build", "line": 1, "platform": "", "base": _pinned, "final": false, "needed": true, "user": "", "instructions": []}

_command := {"form": "exec", "args": ["CMD", "/ok"], "flags": [], "line": 9, "stage": 1}

_final := {
	"stage": 1, "name": "", "user": "app:app", "user_line": 8, "healthcheck": _command, "entrypoint": _command, "cmd": null,
	"env": [], "labels": [], "exposed": [], "copies": [],
}

# A Dockerfile of two stages with nothing to say about it.
_good := {
	"syntax": "", "target": "", "multi_stage": true, "global_args": [],
	"stages": [_stage, object.union(_stage, {"index": 1, "name": "", "line": 4, "final": true})],
	"final": _final,
}

_with(place, changes) := json.patch(_good, [{
	"op": "add", "path": sprintf("/stages/%d/instructions/-", [place]), "value": object.union(_instruction, changes),
}])

_run(text) := _with(1, {"raw": concat(" ", ["RUN", text]), "args": [text], "form": "shell"})

_replaced(path, value) := json.patch(_good, [{"op": "replace", "path": path, "value": value}])

_broken(document) := {found.rule | some found in dockerfile.deny with input as document}

_severities(document) := {found.severity | some found in dockerfile.deny with input as document}

test_nothing_to_say if _broken(_good) == set()

_token := concat("", ["gh", "p_", "0123456789abcdefghijABCDEFGHIJ012345"])

test_token_in_a_run if _broken(_run(concat(" ", ["curl -H", _token]))) == {"DF001"}

test_token_in_a_heredoc if {
	_broken(_with(0, {"raw": "RUN <<EOF", "heredocs": [{"name": "EOF", "content": _token, "expand": true, "chomp": false}]})) == {"DF001"}
}

test_secret_in_the_final_environment if {
	document := _with(1, {"keyword": "ENV", "pairs": [{"name": "DB_PASSWORD", "value": "v3ry-pr1vate"}]})
	_broken(document) == {"DF001"}
	_severities(document) == {"CRITICAL"}
}

test_secret_in_a_stage_that_does_not_ship if {
	document := _with(0, {"keyword": "ENV", "pairs": [{"name": "DB_PASSWORD", "value": "v3ry-pr1vate"}]})
	_severities(document) == {"HIGH"}
	every found in dockerfile.deny { found.certain == false } with input as document
}

test_secret_in_a_stage_that_the_final_one_extends if {
	secret := _with(0, {"keyword": "ENV", "pairs": [{"name": "DB_PASSWORD", "value": "v3ry-pr1vate"}]})
	base := object.union(_pinned, {"reference": "build", "stage": 0, "digest": ""})
	extended := json.patch(secret, [{"op": "replace", "path": "/stages/1/base", "value": base}])
	_severities(extended) == {"CRITICAL"}
}

test_secret_in_a_stage_that_is_not_needed if {
	secret := _with(0, {"keyword": "ENV", "pairs": [{"name": "DB_PASSWORD", "value": "v3ry-pr1vate"}]})
	_broken(json.patch(secret, [{"op": "replace", "path": "/stages/0/needed", "value": false}])) == set()
}

test_secret_as_a_global_argument if {
	every pair in [{"name": "DB_PASSWORD", "value": "v3ry-pr1vate"}, {"name": "X", "value": _token}] {
		_broken(_replaced("/global_args", [pair])) == {"DF001"}
	}
	_broken(_replaced("/global_args", [{"name": "VERSION", "value": "1"}, {"name": "DB_PASSWORD", "value": null}])) == set()
}

test_secret_expected_as_an_argument if {
	every value in [null, "", "changeme"] {
		_broken(_with(0, {"keyword": "ARG", "pairs": [{"name": "NPM_TOKEN", "value": value}]})) == {"DF002"}
	}
}

test_stand_in if _broken(_with(1, {"keyword": "ENV", "pairs": [{"name": "DB_PASSWORD", "value": "changeme"}]})) == {"DF003"}

_add(source) := _with(1, {"keyword": "ADD", "sources": [source], "from": {"kind": "context", "stage": null, "reference": ""}})

test_remote_add if {
	every source in ["https://e.org/x.tar.gz", "git@e.org:x.git", "ssh://git@e.org/x.git#main", "HTTP://e.org/x", "github.com/a/b"] {
		_broken(_add(source)) == {"DF010"}
	}
}

test_remote_add_that_is_held if {
	commit := "0123456789012345678901234567890123456789"
	every source in [sprintf("https://e.org/x.git#%s", [commit]), sprintf("https://e.org/x.git#%s:sub", [commit])] {
		_broken(_add(source)) == set()
	}
	flags := [{"name": "checksum", "value": "sha256:0123"}]
	_broken(json.patch(_add("https://e.org/x"), [{"op": "replace", "path": "/stages/1/instructions/0/flags", "value": flags}])) == set()
}

test_remote_add_does_not_show_a_password if {
	some found in dockerfile.deny with input as _add("https://bot:hunter22@e.org/x.tar")
	found.message == "ADD https://e.org/x.tar is not held to a checksum"
}

test_add_of_what_nobody_knows if _severities(_add("$SOURCE")) == {"HIGH"}

test_remote_add_on_build if {
	nested := object.union(_instruction, {"keyword": "ADD", "sources": ["https://e.org/x.tar.gz"]})
	_broken(_with(1, {"keyword": "ONBUILD", "raw": "ONBUILD ADD", "onbuild": nested})) == {"DF010"}
}

test_local_add if {
	_broken(_add("src/")) == {"DF013"}
	_broken(_add("rootfs.tar.gz")) == set()
	_broken(_add("<<EOF")) == set()
}

_from(reference) := _replaced("/stages/0/base", object.union(_pinned, {"reference": reference, "digest": ""}))

test_base_without_digest if _broken(_from("debian:12")) == {"DF011"}

test_base_without_digest_by_a_variable if _broken(_from("debian:$X")) == {"DF011"}

test_base_that_floats if {
	every reference in ["debian", "debian:latest", "registry.example.com:5000/debian"] {
		_broken(_from(reference)) == {"DF012"}
	}
}

test_scratch_and_stages_need_no_digest if {
	_broken(_replaced("/stages/0/base", object.union(_pinned, {"reference": "scratch", "scratch": true, "digest": ""}))) == set()
}

test_copy_from_an_image if {
	_broken(_with(1, {"keyword": "COPY", "from": {"kind": "image", "stage": null, "reference": "busybox:1"}})) == {"DF011"}
}

test_mount_from_an_image if {
	mount := {"type": "bind", "from": "busybox:1", "source": "", "target": "/x", "id": "", "options": {}}
	_broken(_with(1, {"mounts": [mount]})) == {"DF011"}
	_broken(_with(1, {"mounts": [object.union(mount, {"from": "BUILD"})]})) == set()
}

test_script_from_the_network if {
	every command in ["curl -sSf https://sh.e.org | sh", "wget -O- https://e.org/x | sudo bash -s", "curl https://e.org|/bin/sh"] {
		_broken(_run(command)) == {"DF014"}
	}
	_broken(_run("curl https://e.org/x -o x && echo sh | cat")) == set()
}

test_root if {
	every user in ["root", "0", "0:0", "root:app"] {
		_broken(_replaced("/final/user", user)) == {"DF020"}
	}
	some found in dockerfile.deny with input as _replaced("/final/user", "")
	found.line == 4
}

test_one_stage if _broken(_replaced("/multi_stage", false)) == {"DF021"}

test_health_check if {
	_broken(_replaced("/final/healthcheck", null)) == {"DF022"}
	_broken(_replaced("/final/healthcheck", object.union(_command, {"args": ["NONE"]}))) == {"DF022"}
}

test_shell_form if {
	_broken(_replaced("/final/entrypoint", object.union(_command, {"form": "shell"}))) == {"DF023"}
	_broken(_replaced("/final/cmd", object.union(_command, {"form": "shell"}))) == {"DF023"}
}

test_lists_left_behind if {
	every command in ["apt-get update && apt-get install -y curl", "apk add curl", "dnf -y install curl", "yum install -y curl"] {
		_broken(_run(command)) == {"DF030"}
	}
}

test_lists_removed if {
	every command in [
		"apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*",
		"apk add --no-cache curl",
		"dnf -y install curl && dnf clean all",
	] {
		_broken(_run(command)) == set()
	}
	mount := {"type": "cache", "from": "", "source": "", "target": "/var/lib/apt/lists", "id": "", "options": {}}
	_broken(json.patch(_run("apt-get install -y curl"), [{"op": "add", "path": "/stages/1/instructions/0/mounts/-", "value": mount}])) == set()
	_broken(_with(0, {"raw": "RUN apt-get install -y curl"})) == set()
}

test_entitlements if {
	every flag in [{"name": "security", "value": "insecure"}, {"name": "network", "value": "host"}] {
		_broken(_with(0, {"flags": [flag]})) == {"DF031"}
	}
	_broken(_with(0, {"flags": [{"name": "network", "value": "none"}]})) == set()
}

test_writable_for_everyone if {
	_broken(_run("chmod -R 777 /app")) == {"DF032"}
	_broken(_run("chmod a+w /app")) == {"DF032"}
	_broken(_run("chmod 0755 /app")) == set()
	_broken(_with(1, {"keyword": "COPY", "flags": [{"name": "chmod", "value": "0666"}]})) == {"DF032"}
	_broken(_with(1, {"keyword": "COPY", "flags": [{"name": "chmod", "value": "755"}]})) == set()
}
