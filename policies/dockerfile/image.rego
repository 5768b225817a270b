package pipeline.dockerfile

# METADATA
# title: The container runs as root
# description: A fault in the service is then a fault in everything the container may reach.
# related_resources:
# - https://docs.docker.com/build/building/best-practices/#user
# custom:
#  id: DF020
#  severity: HIGH
#  remediation: create a user and name it with USER in the final stage
deny contains {"rule": "DF020", "message": message, "line": line} if {
	user := split(input.final.user, ":")[0]
	user in {"root", "0"}
	message := sprintf("the final stage runs as %s", [user])
	line := input.final.user_line
}

deny contains {"rule": "DF020", "message": message, "line": line} if {
	input.final.user == ""
	message := "the final stage has no USER: the base image decides, and most choose root"
	line := [stage.line | some stage in input.stages; stage.final][0]
}

# METADATA
# title: The build has a single stage
# description: Compilers, caches and sources that only the build needs stay in the image.
# related_resources:
# - https://docs.docker.com/build/building/multi-stage/
# custom:
#  id: DF021
#  severity: MEDIUM
#  remediation: build in one stage, and COPY --from it what the service needs into the final one
deny contains {"rule": "DF021", "message": "everything is built in the stage that ships"} if not input.multi_stage

# METADATA
# title: The image has no health check
# description: The engine cannot tell a container that hangs from one that serves.
# related_resources:
# - https://docs.docker.com/reference/dockerfile/#healthcheck
# custom:
#  id: DF022
#  severity: LOW
#  remediation: add HEALTHCHECK, or a probe where the container is deployed
deny contains {"rule": "DF022", "message": "no HEALTHCHECK reaches the final stage"} if input.final.healthcheck == null

deny contains {"rule": "DF022", "message": "HEALTHCHECK NONE switches it off", "line": input.final.healthcheck.line} if {
	input.final.healthcheck.args == ["NONE"]
}

# METADATA
# title: The service is started through a shell
# description: The shell is process 1 and does not hand SIGTERM on, so that the service is killed instead of stopped.
# related_resources:
# - https://docs.docker.com/reference/dockerfile/#shell-and-exec-form
# custom:
#  id: DF023
#  severity: LOW
#  remediation: write it as a JSON list
deny contains {"rule": "DF023", "message": message, "line": command.line} if {
	some name in ["entrypoint", "cmd"]
	command := input.final[name]
	command.form == "shell"
	message := sprintf("%s is in shell form", [upper(name)])
}
