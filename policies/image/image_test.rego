package pipeline.image_test

import data.pipeline.image

_labels := {sprintf("org.opencontainers.image.%s", [name]): "x" | some name in ["version", "revision", "created", "source", "title"]}

_good := {
	"user": "app", "env": [{"name": "PATH", "value": "/bin"}], "labels": _labels, "exposed": ["8080/tcp"],
	"entrypoint": ["/agent"], "cmd": [], "size": 1000,
}

_broken(changes) := {found.rule | some found in image.deny with input as object.union(_good, changes)}

test_nothing_to_say if _broken({}) == set()

test_secrets if {
	_broken({"env": [{"name": "DB_PASSWORD", "value": "v3ry-pr1vate"}]}) == {"IM001"}
	token := concat("", ["AKIA", "ABCDEFGHIJKLMNOP"])
	_broken({"env": [{"name": "X", "value": token}]}) == {"IM001"}
	_broken({"labels": {"x": token}}) == {"IM001"}
}

test_base_images_own_variables_are_no_secrets if {
	_broken({"env": [{"name": "GPG_KEY", "value": "E3FF2839C048B25C084DEBE9B26995E310250568"}]}) == set()
}

test_root if {
	every user in ["", "root", "0", "0:0"] { _broken({"user": user}) == {"IM002"} }
}

test_labels if _broken({"labels": {"org.opencontainers.image.revision": ""}}) == {"IM003"}

test_ports if {
	_broken({"exposed": ["80/tcp"]}) == {"IM004"}
	_broken({"exposed": ["22/tcp"]}) == {"IM004", "IM005"}
}

test_nothing_to_run if _broken({"entrypoint": [], "cmd": []}) == {"IM006"}

test_large if _broken({"size": 2147483648}) == {"IM007"}
