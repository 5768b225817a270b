package pipeline.release

# METADATA
# title: The image is not what was built
# description: What was judged is what ships; these are two different things.
# custom:
#  id: RE001
#  severity: CRITICAL
#  certain: true
#  remediation: build again, and see who else changes images on this engine or in this repository
deny contains {"rule": "RE001", "message": sprintf("%s was judged, but %s was built", [input.image.judged.id, input.image.built.id])} if {
	input.image.judged.id != input.image.built.id
}

deny contains {"rule": "RE001", "message": "its layers are not those that were built"} if {
	input.image.judged.diff_ids != input.image.built.diff_ids
}

deny contains {"rule": "RE001", "message": message} if {
	some [name, wanted] in [["revision", input.commit], ["version", input.version]]
	found := object.get(input.image.labels, sprintf("org.opencontainers.image.%s", [name]), "nothing")
	found != wanted
	message := sprintf("the image says %s is its %s, but this is %s", [found, name, wanted])
}

# METADATA
# title: The release is not of a clean commit
# description: Changed files are in no commit, so that nobody can build this version again.
# custom:
#  id: RE002
#  severity: CRITICAL
#  certain: true
#  remediation: commit or remove the changes, then tag
deny contains {"rule": "RE002", "message": "files that git tracks were changed"} if {
	input.publishing
	not input.clean
}

deny contains {"rule": "RE002", "message": "HEAD has no version tag"} if {
	input.publishing
	input.tag == ""
}

# METADATA
# title: The version is not semantic
# description: Nobody can tell from it what a new version breaks.
# related_resources:
# - https://semver.org/spec/v2.0.0.html
# custom:
#  id: RE003
#  severity: HIGH
#  remediation: tag releases as 1.2.3 or v1.2.3
deny contains {"rule": "RE003", "message": sprintf("%s is not a semantic version", [input.version])} if {
	not semver.is_valid(input.version)
}

# METADATA
# title: The release comes from a ref that is not protected
# description: Whoever may push to it may release.
# custom:
#  id: RE004
#  severity: LOW
#  remediation: protect the version tags in the CI's settings
deny contains {"rule": "RE004", "message": sprintf("%s does not say that the tag is protected", [input.job.system])} if {
	input.publishing
	input.job.system != "local"
	not input.job.protected
}

# METADATA
# title: The build was given entitlements
# description: An entitlement gives the build the host's network, or root on the host.
# related_resources:
# - https://docs.docker.com/reference/cli/docker/buildx/build/#allow
# custom:
#  id: RE005
#  severity: HIGH
#  remediation: do without it, and remove it from `allow`
deny contains {"rule": "RE005", "message": sprintf("it was built with %s", [name])} if some name in input.build.entitlements
