package pipeline.kubernetes

import data.pipeline.lib.kubernetes
import data.pipeline.lib.secrets

# METADATA
# title: A secret is written into a manifest
# description: Whoever can read the repository, or the object in the cluster, has the secret.
# related_resources:
# - https://kubernetes.io/docs/concepts/configuration/secret/
# custom:
#  id: KU001
#  severity: CRITICAL
#  remediation: revoke it, then take it from a Secret with `valueFrom.secretKeyRef`
deny contains {"rule": "KU001", "message": message} if {
	some container in kubernetes.containers
	some variable in container.env
	_secret(variable.name, variable.value)
	message := sprintf("%s: the variable %s of container %s has a secret as its value", [kubernetes.name, variable.name, container.name])
}

_secret(name, value) if secrets.is_named(name, value)

_secret(_, value) if {
	is_string(value)
	secrets.is_token(value)
}

# METADATA
# title: A container is privileged
# description: It is root on its node.
# related_resources:
# - https://kubernetes.io/docs/concepts/security/pod-security-standards/
# custom:
#  id: KU002
#  severity: HIGH
#  remediation: remove `privileged`, and add the one capability that is needed
deny contains {"rule": "KU002", "message": sprintf("%s: container %s is privileged", [kubernetes.name, container.name])} if {
	some container in kubernetes.containers
	container.securityContext.privileged == true
}

# METADATA
# title: A container may run as root
# description: A fault in the service is then a fault in everything the container may reach.
# related_resources:
# - https://kubernetes.io/docs/concepts/security/pod-security-standards/
# custom:
#  id: KU003
#  severity: HIGH
#  remediation: "set `runAsNonRoot: true` in the pod's securityContext"
deny contains {"rule": "KU003", "message": sprintf("%s: container %s may run as root", [kubernetes.name, container.name])} if {
	some container in kubernetes.containers
	not _unprivileged_user(container)
}

_unprivileged_user(container) if {
	kubernetes.security(container, "runAsNonRoot") == true
	kubernetes.security(container, "runAsUser") != 0
}

_unprivileged_user(container) if kubernetes.security(container, "runAsUser") > 0

# METADATA
# title: A pod shares its node's namespaces
# description: It sees, and may reach, what other pods and the node itself do.
# related_resources:
# - https://kubernetes.io/docs/concepts/security/pod-security-standards/
# custom:
#  id: KU004
#  severity: HIGH
#  remediation: remove it
deny contains {"rule": "KU004", "message": sprintf("%s: %s is on", [kubernetes.name, key])} if {
	some key in ["hostNetwork", "hostPID", "hostIPC"]
	kubernetes.pod[key] == true
}

# METADATA
# title: A pod mounts a folder of its node
# description: What it writes there outlives it, and what it reads may be the node's own.
# related_resources:
# - https://kubernetes.io/docs/concepts/storage/volumes/#hostpath
# custom:
#  id: KU005
#  severity: HIGH
#  remediation: use a volume claim, a ConfigMap or an emptyDir
deny contains {"rule": "KU005", "message": sprintf("%s: volume %s is %s of the node", [kubernetes.name, volume.name, volume.hostPath.path])} if {
	some volume in kubernetes.pod.volumes
}

# METADATA
# title: A process may gain more rights than its parent
# description: A program with the setuid bit makes an unprivileged user root again.
# related_resources:
# - https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
# custom:
#  id: KU006
#  severity: MEDIUM
#  remediation: "set `allowPrivilegeEscalation: false`"
deny contains {"rule": "KU006", "message": sprintf("%s: container %s may escalate", [kubernetes.name, container.name])} if {
	some container in kubernetes.containers
	not container.securityContext.allowPrivilegeEscalation == false
}

# METADATA
# title: A container is given powerful capabilities
# description: Each of these is close to being root on the node.
# related_resources:
# - https://kubernetes.io/docs/concepts/security/pod-security-standards/
# custom:
#  id: KU007
#  severity: HIGH
#  remediation: "drop `ALL`, and add only what the service needs"
deny contains {"rule": "KU007", "message": sprintf("%s: container %s adds %s", [kubernetes.name, container.name, name])} if {
	some container in kubernetes.containers
	some name in container.securityContext.capabilities.add
	trim_prefix(upper(name), "CAP_") in {"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "NET_ADMIN", "DAC_READ_SEARCH", "BPF"}
}
