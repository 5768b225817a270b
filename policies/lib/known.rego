# The formats of tokens that are secrets wherever they stand.
package pipeline.lib.secrets.known

formats := [
	`\b(AKIA|ASIA)[0-9A-Z]{16}\b`,
	`\bgh[pousr]_[A-Za-z0-9]{36,}\b`,
	`\bgithub_pat_[A-Za-z0-9_]{22,}\b`,
	`\bgl(pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20,}`,
	`\bxox[abprs]-[A-Za-z0-9-]{10,}`,
	`\b[rs]k_live_[A-Za-z0-9]{16,}\b`,
	`\bAIza[0-9A-Za-z_-]{35}`,
	`\bnpm_[A-Za-z0-9]{36}\b`,
	`\bpypi-[A-Za-z0-9_-]{50,}`,
	`-----BEGIN ([A-Z]+ )*PRIVATE KEY-----`,
]

# An address with a user and a password; one that takes the password from a variable does not match.
address := `[a-z][a-z0-9+.-]*://([^/\s:@$"']*):([^/\s:@$"'<{]+)@[A-Za-z0-9]`
