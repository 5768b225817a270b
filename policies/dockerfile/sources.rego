package pipeline.dockerfile

import data.pipeline.lib.dockerfile

# METADATA
# title: ADD fetches from the network without a checksum
# description: What the address serves at build time goes into the image, and nobody can tell later what that was.
# related_resources:
# - https://docs.docker.com/reference/dockerfile/#add---checksum
# custom:
#  id: DF010
#  severity: CRITICAL
#  remediation: add `--checksum=sha256:…`, or name the commit of a git source, or COPY a file from the build context
deny contains {"rule": "DF010", "message": message, "line": found.it.line} if {
	some found in dockerfile.instructions
	found.it.keyword == "ADD"
	not dockerfile.flag(found.it, "checksum")
	some source in found.it.sources
	_remote(source)
	not _at_commit(source)
	message := sprintf("ADD %s is not held to a checksum", [_without_password(source)])
}

deny contains {"rule": "DF010", "message": message, "line": found.it.line, "severity": "HIGH"} if {
	some found in dockerfile.instructions
	found.it.keyword == "ADD"
	not dockerfile.flag(found.it, "checksum")
	some source in found.it.sources
	startswith(source, "$")
	message := sprintf("ADD %s may be an address: its value is not known here", [source])
}

_remote(source) if regex.match(`^(?i:[a-z][a-z0-9+.-]*://|git@)`, source)

_remote(source) if regex.match(`^(?i:github\.com/)`, source)

_at_commit(source) if regex.match(`#[0-9a-f]{40}([0-9a-f]{24})?(:|$)`, source)

_without_password(source) := regex.replace(source, `//[^/@]*@`, "//")

# METADATA
# title: A base image is not pinned by digest
# description: A tag can be moved, so that the same commit builds another image tomorrow.
# related_resources:
# - https://docs.docker.com/build/building/best-practices/#pin-base-image-versions
# custom:
#  id: DF011
#  severity: MEDIUM
#  remediation: write it as `name:tag@sha256:…`; a dependency bot keeps the digest fresh
deny contains {"rule": "DF011", "message": message, "line": image.line} if {
	some image in dockerfile.images
	not contains(image.reference, "@sha256:")
	not _floating(image.reference)
	message := sprintf("%s is not pinned by digest", [image.reference])
}

# METADATA
# title: A base image follows `latest`
# description: Without a tag, or with `latest`, a rebuild takes whatever was pushed last, major versions included.
# related_resources:
# - https://docs.docker.com/build/building/best-practices/#pin-base-image-versions
# custom:
#  id: DF012
#  severity: HIGH
#  remediation: name a version, and its digest
deny contains {"rule": "DF012", "message": message, "line": image.line} if {
	some image in dockerfile.images
	not contains(image.reference, "@sha256:")
	_floating(image.reference)
	message := sprintf("%s names no version", [image.reference])
}

_floating(reference) if endswith(reference, ":latest")

_floating(reference) if {
	parts := split(reference, "/")
	not contains(parts[count(parts) - 1], ":")
	not contains(reference, "$")
}

# METADATA
# title: ADD where COPY would do
# description: ADD unpacks archives and fetches addresses; COPY does only what it says.
# related_resources:
# - https://docs.docker.com/build/building/best-practices/#add-or-copy
# custom:
#  id: DF013
#  severity: LOW
#  remediation: use COPY
deny contains {"rule": "DF013", "message": message, "line": found.it.line} if {
	some found in dockerfile.instructions
	found.it.keyword == "ADD"
	some source in found.it.sources
	not _remote(source)
	not regex.match(`^(\$|<<)|\.(tar|tgz|tbz2?|txz|gz|bz2|xz|zst)$`, source)
	message := sprintf("ADD %s neither unpacks nor fetches", [source])
}

# METADATA
# title: A script from the network is run unseen
# description: What the address serves at build time runs as part of the build.
# custom:
#  id: DF014
#  severity: HIGH
#  remediation: fetch a fixed version with `ADD --checksum=sha256:…`, then run it
deny contains {"rule": "DF014", "message": "what curl or wget fetches goes straight into a shell", "line": found.it.line} if {
	some found in dockerfile.instructions
	found.it.keyword == "RUN"
	regex.match(`\b(curl|wget)\b[^|;&\n]*\|\s*(sudo\s+)?(/bin/|/usr/bin/)?(ba|da|z|k)?sh\b`, dockerfile.text(found.it))
}
