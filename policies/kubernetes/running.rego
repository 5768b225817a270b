package pipeline.kubernetes

import data.pipeline.lib.kubernetes

# METADATA
# title: An image is not named by its digest
# description: A tag can be moved, so that two pods of one workload run different code.
# related_resources:
# - https://kubernetes.io/docs/concepts/containers/images/#image-names
# custom:
#  id: KU010
#  severity: MEDIUM
#  remediation: write it as `repository@sha256:…`; `pipeline push` prints it
deny contains {"rule": "KU010", "message": sprintf("%s: container %s runs %s", [kubernetes.name, container.name, image])} if {
	some container in kubernetes.containers
	image := object.get(container, "image", "no image")
	not regex.match(`@sha256:[0-9a-f]{64}$`, image)
}

# METADATA
# title: A container does not say what it needs
# description: Without requests the scheduler puts it anywhere, and it is the first to be evicted.
# related_resources:
# - https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
# custom:
#  id: KU011
#  severity: MEDIUM
#  remediation: set `resources.requests` for cpu and memory
deny contains {"rule": "KU011", "message": sprintf("%s: container %s requests no %s", [kubernetes.name, container.name, resource])} if {
	some container in kubernetes.main
	some resource in ["cpu", "memory"]
	not container.resources.requests[resource]
	not container.resources.limits[resource]
}

# METADATA
# title: A container's memory is not bounded
# description: A leak in one pod takes its neighbours down.
# related_resources:
# - https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
# custom:
#  id: KU012
#  severity: LOW
#  remediation: set `resources.limits.memory`
deny contains {"rule": "KU012", "message": sprintf("%s: container %s has no memory limit", [kubernetes.name, container.name])} if {
	some container in kubernetes.main
	not container.resources.limits.memory
}

# METADATA
# title: A container has no readiness probe
# description: A rolling update then counts a pod as ready before it serves.
# related_resources:
# - https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
# custom:
#  id: KU013
#  severity: MEDIUM
#  remediation: add a `readinessProbe`
deny contains {"rule": "KU013", "message": sprintf("%s: container %s has no readiness probe", [kubernetes.name, container.name])} if {
	kubernetes.serves
	some container in kubernetes.main
	not container.readinessProbe
}
