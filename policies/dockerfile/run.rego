package pipeline.dockerfile

import data.pipeline.lib.dockerfile

# METADATA
# title: A RUN leaves the package manager's lists in the image
# description: They take up space and are out of date the day after.
# related_resources:
# - https://docs.docker.com/build/building/best-practices/#apt-get
# custom:
#  id: DF030
#  severity: LOW
#  remediation: remove them in the same RUN, or mount a cache there
deny contains {"rule": "DF030", "message": message, "line": found.it.line} if {
	some found in dockerfile.instructions
	found.it.keyword == "RUN"
	dockerfile.is_in_image(found.stage)
	some manager in _managers
	command := dockerfile.text(found.it)
	regex.match(manager.installs, command)
	not regex.match(manager.cleans, command)
	not _cached(found.it, manager.folder)
	message := sprintf("%s is left behind", [manager.folder])
}

_managers := [
	{"installs": `\bapt(-get)?\s+(-\S+\s+)*(install|update)\b`, "cleans": `rm\s.*/var/lib/apt/lists|apt-get\s+dist-clean`, "folder": "/var/lib/apt"},
	{"installs": `\bapk\s+(-\S+\s+)*add\b`, "cleans": `--no-cache|rm\s.*/var/cache/apk`, "folder": "/var/cache/apk"},
	{"installs": `\b(dnf|microdnf)\s+(-\S+\s+)*install\b`, "cleans": `dnf\s+(-\S+\s+)*clean\s+all|rm\s.*/var/cache/dnf`, "folder": "/var/cache/dnf"},
	{"installs": `\byum\s+(-\S+\s+)*install\b`, "cleans": `yum\s+(-\S+\s+)*clean\s+all|rm\s.*/var/cache/yum`, "folder": "/var/cache/yum"},
]

_cached(instruction, folder) if {
	some mount in instruction.mounts
	mount.type in {"cache", "tmpfs"}
	startswith(mount.target, folder)
}

# METADATA
# title: A RUN asks for more than a build should have
# description: An entitlement gives the build the host's network, or root on the host.
# related_resources:
# - https://docs.docker.com/reference/cli/docker/buildx/build/#allow
# custom:
#  id: DF031
#  severity: HIGH
#  remediation: do without it; the fetch, mount or device can usually be had in another way
deny contains {"rule": "DF031", "message": message, "line": found.it.line} if {
	some found in dockerfile.instructions
	some [name, value] in [["security", "insecure"], ["network", "host"]]
	dockerfile.flag(found.it, name) == value
	message := sprintf("%s --%s=%s", [found.it.keyword, name, value])
}

# METADATA
# title: A file is made writable for everyone
# description: Any process in the container may then change what others run or read.
# custom:
#  id: DF032
#  severity: MEDIUM
#  remediation: give it to the user that needs it with `--chown`, or to its group
deny contains {"rule": "DF032", "message": "chmod gives everyone the right to write", "line": found.it.line} if {
	some found in dockerfile.instructions
	found.it.keyword == "RUN"
	dockerfile.is_in_image(found.stage)
	regex.match(`\bchmod\s+(-\S+\s+)*(0?[0-7]{2}[2367]|a\+\S*w\S*|o\+\S*w\S*|ugo\+\S*w\S*)\s`, dockerfile.text(found.it))
}

deny contains {"rule": "DF032", "message": message, "line": found.it.line} if {
	some found in dockerfile.instructions
	found.it.keyword in {"COPY", "ADD"}
	mode := dockerfile.flag(found.it, "chmod")
	regex.match(`^0?[0-7]{2}[2367]$`, mode)
	message := sprintf("%s --chmod=%s gives everyone the right to write", [found.it.keyword, mode])
}
