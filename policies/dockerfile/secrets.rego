package pipeline.dockerfile

import data.pipeline.lib.dockerfile
import data.pipeline.lib.secrets

# METADATA
# title: A secret is written into the image
# description: >-
#  Whoever can pull the image, or read its history, has the secret. It stays there after a later instruction removes it.
# related_resources:
# - https://docs.docker.com/build/building/secrets/
# custom:
#  id: DF001
#  severity: CRITICAL
#  certain: true
#  remediation: revoke it, then give it with `RUN --mount=type=secret` at build time, or to the container at run time
deny contains {"rule": "DF001", "message": message, "line": found.it.line} if {
	some found in dockerfile.instructions
	secrets.is_token(dockerfile.text(found.it))
	message := sprintf("%s holds what has the format of a token or a password", [found.it.keyword])
}

deny contains object.union({"rule": "DF001", "message": message, "line": found.it.line}, _weight(found.stage)) if {
	some found in dockerfile.instructions
	found.it.keyword in {"ENV", "ARG", "LABEL"}
	some pair in found.it.pairs
	secrets.is_named(pair.name, pair.value)
	message := sprintf("%s %s has a value that becomes part of the image", [found.it.keyword, pair.name])
}

deny contains {"rule": "DF001", "message": message} if {
	some pair in input.global_args
	_given(pair)
	message := sprintf("ARG %s before the first FROM has a value that is part of the Dockerfile", [pair.name])
}

_weight(stage) := {"severity": "CRITICAL"} if dockerfile.is_in_image(stage)

_weight(stage) := {"severity": "HIGH", "certain": false} if not dockerfile.is_in_image(stage)

_given(pair) if secrets.is_named(pair.name, pair.value)

_given(pair) if {
	pair.value != null
	secrets.is_token(pair.value)
}

# METADATA
# title: A secret is expected as a build argument
# description: The values of build arguments are kept in the image's history and in the build cache.
# related_resources:
# - https://docs.docker.com/build/building/secrets/
# custom:
#  id: DF002
#  severity: HIGH
#  remediation: give it with `RUN --mount=type=secret`, and name it under `[image.secrets]`
deny contains {"rule": "DF002", "message": message, "line": found.it.line} if {
	some found in dockerfile.instructions
	found.it.keyword == "ARG"
	some pair in found.it.pairs
	secrets.is_promising(pair.name)
	_unset(pair)
	message := sprintf("ARG %s asks for a secret as a build argument", [pair.name])
}

_unset(pair) if pair.value in {null, ""}

_unset(pair) if secrets.is_stand_in(pair.name, pair.value)

# METADATA
# title: A password is written into the image as a stand-in
# description: Stand-ins such as `changeme` have a way of reaching production.
# custom:
#  id: DF003
#  severity: MEDIUM
#  remediation: leave it unset, so that a container without the real one does not start
deny contains {"rule": "DF003", "message": message, "line": found.it.line} if {
	some found in dockerfile.instructions
	found.it.keyword == "ENV"
	some pair in found.it.pairs
	secrets.is_stand_in(pair.name, pair.value)
	message := sprintf("ENV %s has a value that only stands in for the real one", [pair.name])
}
