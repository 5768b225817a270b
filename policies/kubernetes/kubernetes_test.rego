package pipeline.kubernetes_test

import data.pipeline.kubernetes

_container := {
	"name": "agent",
	"image": "registry.example.com/agent@sha256:0123456789012345678901234567890123456789012345678901234567890123",
	"securityContext": {"allowPrivilegeEscalation": false},
	"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
	"readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
	"env": [{"name": "LOG_LEVEL", "value": "info"}],
}

_pod(container, changes) := object.union({"securityContext": {"runAsNonRoot": true}, "containers": [object.union(_container, container)]}, changes)

_deployment(spec) := {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "agent"}, "spec": {"template": {"spec": spec}}}

_deny(document) := {found.rule | some found in kubernetes.deny with input as document}

_broken(container, changes) := _deny(_deployment(_pod(container, changes)))

test_nothing_to_say if _broken({}, {}) == set()

test_every_kind_of_workload if {
	pod := _pod({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}, {})
	every document in [
		{"kind": "Pod", "spec": pod},
		{"kind": "PodTemplate", "template": {"spec": pod}},
		{"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}},
		{"kind": "Job", "spec": {"template": {"spec": pod}}},
		{"kind": "StatefulSet", "spec": {"template": {"spec": pod}}},
		{"kind": "DaemonSet", "spec": {"template": {"spec": pod}}},
	] {
		_deny(document) == {"KU002"}
	}
}

test_what_holds_no_pod if _deny({"apiVersion": "v1", "kind": "ConfigMap", "data": {}}) == set()

test_secrets if {
	_broken({"env": [{"name": "DB_PASSWORD", "value": "v3ry-pr1vate"}]}, {}) == {"KU001"}
	_broken({"env": [{"name": "X", "value": concat("", ["AKIA", "ABCDEFGHIJKLMNOP"])}]}, {}) == {"KU001"}
	_broken({"env": [{"name": "DB_PASSWORD", "valueFrom": {}}, {"name": "X", "value": 7}]}, {}) == set()
}

test_may_run_as_root if {
	_broken({}, {"securityContext": {"runAsNonRoot": false}}) == {"KU003"}
	_broken({"securityContext": {"runAsUser": 0, "allowPrivilegeEscalation": false}}, {}) == {"KU003"}
	_broken({"securityContext": {"runAsUser": 1000, "allowPrivilegeEscalation": false}}, {"securityContext": {"runAsNonRoot": false}}) == set()
	document := _deployment({"securityContext": null, "containers": [_container], "initContainers": null})
	_deny(document) == {"KU003"}
}

test_init_containers_too if {
	init := {"name": "init", "image": _container.image, "securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}
	_broken({}, {"initContainers": [init]}) == {"KU002"}
}

test_namespaces_of_the_node if _broken({}, {"hostNetwork": true}) == {"KU004"}

test_folder_of_the_node if {
	_broken({}, {"volumes": [{"name": "data", "hostPath": {"path": "/"}}, {"name": "tmp", "emptyDir": {}}]}) == {"KU005"}
}

test_escalation if _broken({"securityContext": {"allowPrivilegeEscalation": true}}, {}) == {"KU006"}

test_escalation_unsaid if {
	_deny(_deployment({"securityContext": {"runAsNonRoot": true}, "containers": [object.remove(_container, ["securityContext"])]})) == {"KU006"}
}

test_capabilities if {
	every name in ["ALL", "SYS_ADMIN", "CAP_NET_ADMIN"] {
		_broken({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"add": [name]}}}, {}) == {"KU007"}
	}
	_broken({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"add": ["NET_BIND_SERVICE"]}}}, {}) == set()
}

test_image_by_tag if _broken({"image": "agent:1.0"}, {}) == {"KU010"}

_without(key) := _deployment({"securityContext": {"runAsNonRoot": true}, "containers": [object.remove(_container, [key])]})

test_resources if {
	_deny(_without("resources")) == {"KU011", "KU012"}
	_deny(json.patch(_deployment(_pod({}, {})), [{"op": "remove", "path": "/spec/template/spec/containers/0/resources/requests/cpu"}])) == {"KU011"}
}

test_probe if {
	_deny(_without("readinessProbe")) == {"KU013"}
	job := {"kind": "Job", "spec": _without("readinessProbe").spec}
	_deny(job) == set()
}
