package pipeline.release_test

import data.pipeline.release

_good := {
	"project": "agent", "publishing": true, "version": "1.2.3", "tag": "v1.2.3", "commit": "0123", "clean": true,
	"job": {"system": "gitlab", "tag": "v1.2.3", "branch": "", "protected": true},
	"image": {
		"repository": "registry.example.com/agent",
		"built": {"id": "sha256:aa", "diff_ids": ["sha256:bb"]},
		"judged": {"id": "sha256:aa", "diff_ids": ["sha256:bb"]},
		"labels": {"org.opencontainers.image.revision": "0123", "org.opencontainers.image.version": "1.2.3"},
	},
	"build": {"target": "", "bases": {}, "entitlements": []},
}

_broken(path, value) := {found.rule | some found in release.deny with input as json.patch(_good, [{"op": "replace", "path": path, "value": value}])}

test_nothing_to_say if _broken("/project", "agent") == set()

test_another_image if _broken("/image/judged/id", "sha256:cc") == {"RE001"}

test_other_layers if _broken("/image/judged/diff_ids", []) == {"RE001"}

test_another_commit if _broken("/commit", "4567") == {"RE001"}

test_no_labels if _broken("/image/labels", {}) == {"RE001"}

test_dirty if {
	_broken("/clean", false) == {"RE002"}
	dirty := json.patch(_good, [{"op": "replace", "path": path, "value": false} | some path in ["/clean", "/publishing"]])
	count(release.deny) == 0 with input as dirty
}

test_untagged if _broken("/tag", "") == {"RE002"}

test_not_semantic if {
	odd := json.patch(_good, [{"op": "replace", "path": path, "value": "1.2"} | some path in [
		"/version",
		"/image/labels/org.opencontainers.image.version",
	]])
	found := {one.rule | some one in release.deny with input as odd}
	found == {"RE003"}
}

test_unprotected if {
	_broken("/job/protected", false) == {"RE004"}
	_broken("/job", {"system": "local", "protected": false}) == set()
}

test_entitlements if _broken("/build/entitlements", ["network.host"]) == {"RE005"}
