# The parsed Dockerfile, as the rules want to see it.
package pipeline.lib.dockerfile

# Every stage that the target needs: the others are never built.
needed contains stage if {
	some stage in input.stages
	stage.needed
}

# Every instruction of a needed stage, and what an ONBUILD carries.
instructions contains found if {
	some stage in needed
	some instruction in stage.instructions
	instruction.onbuild == null
	found := {"stage": stage, "it": instruction}
}

instructions contains found if {
	some stage in needed
	some instruction in stage.instructions
	instruction.onbuild != null
	found := {"stage": stage, "it": instruction.onbuild}
}

# The stages whose layers are in the final image: the target and what it is built FROM.
in_image := graph.reachable(
	{string(stage.index): _parent(stage) | some stage in input.stages},
	{string(input.final.stage)},
)

_parent(stage) := [] if stage.base.stage == null

_parent(stage) := [string(stage.base.stage)] if stage.base.stage != null

is_in_image(stage) if string(stage.index) in in_image

# The text of an instruction with its heredocs.
text(instruction) := concat("\n", array.concat([instruction.raw], [heredoc.content | some heredoc in instruction.heredocs]))

flag(instruction, name) := [flag.value | some flag in instruction.flags; flag.name == name][0]

# The images that a needed stage takes something from, with the line that names them.
images contains {"reference": stage.base.reference, "line": stage.line} if {
	some stage in needed
	stage.base.stage == null
	not stage.base.scratch
}

images contains {"reference": found.it.from.reference, "line": found.it.line} if {
	some found in instructions
	found.it.from.kind == "image"
}

images contains {"reference": mount.from, "line": found.it.line} if {
	some found in instructions
	some mount in found.it.mounts
	mount.from != ""
	not lower(mount.from) in {name | some stage in input.stages; some name in {stage.name, string(stage.index)}}
}

string(number) := format_int(number, 10)
