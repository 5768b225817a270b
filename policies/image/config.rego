package pipeline.image

import data.pipeline.lib.secrets

# METADATA
# title: A secret is in the image's configuration
# description: Whoever can pull the image reads its environment and labels.
# related_resources:
# - https://docs.docker.com/build/building/secrets/
# custom:
#  id: IM001
#  severity: CRITICAL
#  certain: true
#  remediation: revoke it, then give it to the container at run time
deny contains {"rule": "IM001", "message": sprintf("the environment variable %s has a secret as its value", [pair.name])} if {
	some pair in input.env
	_secret(pair.name, pair.value)
}

deny contains {"rule": "IM001", "message": sprintf("the label %s has a secret as its value", [name])} if {
	some name, value in input.labels
	secrets.is_token(value)
}

_secret(name, value) if secrets.is_named(name, value)

_secret(_, value) if secrets.is_token(value)

# METADATA
# title: The image runs as root
# description: A fault in the service is then a fault in everything the container may reach.
# related_resources:
# - https://docs.docker.com/build/building/best-practices/#user
# custom:
#  id: IM002
#  severity: HIGH
#  remediation: create a user and name it with USER in the final stage
deny contains {"rule": "IM002", "message": "its user is root"} if split(input.user, ":")[0] in {"", "root", "0"}

# METADATA
# title: A label that says where the image comes from is missing
# description: Without it nobody can tell from the image alone which commit it was built from.
# related_resources:
# - https://github.com/opencontainers/image-spec/blob/main/annotations.md
# custom:
#  id: IM003
#  severity: MEDIUM
#  remediation: build it with `pipeline build`, which sets them; `[project]` gives those that git does not know
deny contains {"rule": "IM003", "message": sprintf("the label %s is missing", [name])} if {
	some short in ["version", "revision", "created", "source", "title"]
	name := sprintf("org.opencontainers.image.%s", [short])
	object.get(input.labels, name, "") == ""
}

# METADATA
# title: A privileged port is exposed
# description: Below 1024 the service needs root, or a capability, to listen.
# custom:
#  id: IM004
#  severity: LOW
#  remediation: listen above 1024, and let the publisher of the port translate
deny contains {"rule": "IM004", "message": sprintf("it exposes %s", [port])} if {
	some port in input.exposed
	to_number(regex.find_n(`^[0-9]+`, port, 1)[0]) < 1024
}

# METADATA
# title: A remote shell is exposed
# description: A container is replaced, not logged into.
# custom:
#  id: IM005
#  severity: HIGH
#  remediation: remove the SSH server; use the engine's own exec
deny contains {"rule": "IM005", "message": "it exposes port 22"} if "22/tcp" in input.exposed

# METADATA
# title: The image does not say what to run
# description: With neither an entrypoint nor a command it starts only where someone names one.
# custom:
#  id: IM006
#  severity: MEDIUM
#  remediation: add ENTRYPOINT or CMD
deny contains {"rule": "IM006", "message": "it has neither an entrypoint nor a command"} if {
	count(input.entrypoint) + count(input.cmd) == 0
}

# METADATA
# title: The image is large
# description: Every rollout waits for it, and every package in it is something to patch.
# custom:
#  id: IM007
#  severity: LOW
#  remediation: "`pipeline build --explain-size` says what each stage left behind"
deny contains {"rule": "IM007", "message": sprintf("it takes %d MiB", [floor(input.size / 1048576)])} if {
	input.size > 1073741824
}
