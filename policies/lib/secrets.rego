# What looks like a secret: the formats of well-known tokens, and names that promise one.
package pipeline.lib.secrets

import data.pipeline.lib.secrets.known

_promising := `(?i)(passw(or)?d|passphrase|secret|token|api_?key|private_?key|access_?key|credential)`

_harmless_names := `(?i)(_|\b)(file|path|dir|url|uri|host|name|id|type|ttl|length|size|expiry|timeout|enabled|header|issuer|audience)s?$`

_not_a_value := `^(\$.*|\{\{.*|/.*|[0-9]{1,6}|(?i:true|false|yes|no|none|null|on|off|auto|required|optional))$`

_stand_in := concat("", [
	`^(?i:change[-_]?(me|this|it).*|dummy.*|placeholder.*|example.*|sample.*|default|fake.*|todo`,
	`|secret|password|passwd|token|test.*|x+|\*+|\.+|<.*>|your[-_].*|insert[-_].*|build[-_]?time.*|not[-_]?(a[-_])?.*secret)$`,
])

# A token whose format says what it is, or a password inside an address.
is_token(text) if {
	some pattern in known.formats
	regex.match(pattern, text)
}

is_token(text) if {
	some [_, user, password] in regex.find_all_string_submatch_n(known.address, text, -1)
	password != user
	not regex.match(_stand_in, password)
}

# A name that promises a secret, with a value that could be one.
is_named(name, value) if {
	_promises(name, value)
	not regex.match(_stand_in, value)
}

# A name that promises a secret, with a value that only stands in for one.
is_stand_in(name, value) if {
	_promises(name, value)
	regex.match(_stand_in, value)
}

# Whether a name promises a secret, whatever its value.
is_promising(name) if {
	regex.match(_promising, name)
	not regex.match(_harmless_names, name)
}

_promises(name, value) if {
	is_promising(name)
	is_string(value)
	value != ""
	not regex.match(_not_a_value, value)
}
