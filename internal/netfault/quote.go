package netfault

import (
	"net/url"
	"strings"
)

// Shares reports whether a text contains 12 or more characters in a row of a secret (all
// characters of a shorter one), in upper or lower case, plain or escaped as in a form. It
// does not look for secrets of less than 4 characters, which any text may contain.
func Shares(text, secret string) bool {
	const piece, shortest = 12, 4
	if len(secret) < shortest {
		return false
	}

	text, secret = strings.ToLower(text), strings.ToLower(secret)
	length := min(piece, len(secret))
	escaped := strings.ToLower(url.QueryEscape(secret))

	for i := 0; i+length <= len(text); i++ {
		part := text[i : i+length]
		if strings.Contains(secret, part) || length == piece && strings.Contains(escaped, part) {
			return true
		}
	}

	return length < piece && strings.Contains(text, escaped)
}

// Host returns scheme and host of an address for a log. The address comes from another
// machine, so a host that is not a plausible name is not printed.
func Host(u *url.URL) string {
	if u == nil || u.Host == "" || len(u.Host) > 100 {
		return "an invalid address"
	}

	for _, c := range u.Scheme + u.Host {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-.:[]", c) {
			return "an invalid address"
		}
	}

	return u.Scheme + "://" + u.Host
}

// Word returns s if it looks like a code or an id: up to 64 letters, digits and "-_.". It
// returns "" for anything else, which may be free text.
func Word(s string) string {
	if len(s) > 64 {
		return ""
	}

	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c) {
			return ""
		}
	}

	return s
}
