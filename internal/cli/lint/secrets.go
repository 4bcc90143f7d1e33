package lint

import (
	"io"
	"regexp"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
)

// maxLook bounds how much of a file is looked at for secrets.
const maxLook = 8 << 20

// secretKey finds a secret that stands in a file itself, in classic or YAML form; a
// variable or nothing is none.
var secretKey = regexp.MustCompile(`(?im)^[\s-]*["']?` +
	`(client_?secret|refresh_?token|splunk_?token|http_?passwd|shared_?key)` +
	`["']?[ \t]*[: \t][ \t]*["']?([^\s"'#]+)`)

// storePassword finds a password in the address of a store; group 2 begins with it.
var storePassword = regexp.MustCompile(`(?im)^[\s-]*["']?(store)["']?[ \t]*[: \t][ \t]*["']?` +
	`postgres(?:ql)?://(?:[^\s:@/]*:|[^\s?]*\?\S*password=)([^\s@&"'#]+)`)

// inline warns of a file that holds a secret and may be read by every user of the
// machine.
func (l *linter) inline(path string) {
	f, err := filemode.Open(path)
	if err != nil {
		return // said already by who reads it
	}
	defer f.Close()

	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o004 == 0 {
		return
	}

	data, err := io.ReadAll(io.LimitReader(f, maxLook))
	if err != nil {
		return
	}

	found := slices.Concat(secretKey.FindAllSubmatchIndex(data, -1), storePassword.FindAllSubmatchIndex(data, -1))
	for _, m := range found {
		if value := string(data[m[4]:m[5]]); strings.HasPrefix(value, "${") {
			continue
		}

		key := string(data[m[2]:m[3]])
		remedy, own := instead(key)

		level := Note // an output's password is not this project's to judge
		if own {
			level = Warning
		}

		at := config.Place{
			File: path,
			Line: 1 + strings.Count(string(data[:m[2]]), "\n"),
			Key:  key,
		}
		l.add(level, at, "stands in a file that every user of this machine can read",
			"chmod o-rwx "+plain.Text(path, 256)+", or use "+remedy)
	}
}

// instead returns what to write in place of the secret itself, and whether the key is one
// of this input.
func instead(key string) (remedy string, own bool) {
	switch strings.ToLower(strings.ReplaceAll(key, "_", "")) {
	case "clientsecret":
		return "client_secret_file", true
	case "refreshtoken":
		return "refresh_token_file", true
	case "store":
		return "the variables PGPASSFILE or PGPASSWORD", true
	}

	return "a variable: " + key + " ${NAME}", false
}
