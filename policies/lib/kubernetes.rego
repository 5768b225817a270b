# The pods of a Kubernetes object, whatever kind of workload wraps them.
package pipeline.lib.kubernetes

name := sprintf("%s/%s", [input.kind, object.get(object.get(input, "metadata", {}), "name", "?")])

pod := input.spec if input.kind == "Pod"

pod := input.template.spec if input.kind == "PodTemplate"

pod := input.spec.jobTemplate.spec.template.spec if input.kind == "CronJob"

pod := input.spec.template.spec if {
	input.kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"}
}

# Whether it is meant to go on running: a job ends by itself and needs no probe.
serves if not input.kind in {"Job", "CronJob"}

main := _listed("containers")

containers := array.concat(main, array.concat(_listed("initContainers"), _listed("ephemeralContainers")))

# A list of the pod; empty where it is absent or null.
_listed(key) := found if {
	found := pod[key]
	is_array(found)
} else := []

# A setting of a container's security context, or else of its pod's, or else null.
security(container, key) := object.get(_context(container), key, object.get(_context(pod), key, null))

_context(holder) := found if {
	found := object.get(holder, "securityContext", {})
	is_object(found)
} else := {}
