// Package redact removes secrets from what leaves the machine: it prints a
// configuration with its harmless values only, and a Scrubber removes every known
// secret from a text.
package redact

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Scrubber removes known secrets from a text, also quoted as in JSON or an address, and
// in base64. It is a second safeguard: no secret should be in the text in the first
// place.
type Scrubber struct{ secrets [][]byte }

// gone is written in the place of a secret.
const gone = "(secret)"

// shortestSecret is the length below which a text is not looked for: it would be found
// everywhere.
const shortestSecret = 6

// Add adds a secret that Clean is to remove.
func (s *Scrubber) Add(text string) {
	text = strings.TrimSpace(text)
	if len(text) < shortestSecret {
		return
	}

	quoted, _ := json.Marshal(text) // a string can always be encoded

	for _, form := range []string{
		text,
		strings.Trim(string(quoted), `"`),
		url.QueryEscape(text),
		url.PathEscape(text),
		base64.StdEncoding.EncodeToString([]byte(text)),
		base64.RawURLEncoding.EncodeToString([]byte(text)),
	} {
		if !slices.ContainsFunc(s.secrets, func(b []byte) bool { return string(b) == form }) {
			s.secrets = append(s.secrets, []byte(form))
		}
	}
}

// addWithheld adds a value that is not shown because nobody knows what it is. A plain
// word is left out: it would be removed from every text.
func (s *Scrubber) addWithheld(value string) {
	word := strings.Trim(strings.ToLower(value), "abcdefghijklmnopqrstuvwxyz_.- ") == ""
	if len(value) >= 8 && (!word || len(value) >= 20) {
		s.Add(value)
	}
}

// AddAddress adds the password in an address.
func (s *Scrubber) AddAddress(address string) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return
	}

	password, _ := u.User.Password()
	s.Add(password)
	s.Add(u.User.String())
}

// AddDatabase adds the passwords in the address of a database.
func (s *Scrubber) AddDatabase(address string) {
	s.AddAddress(address)

	u, err := url.Parse(address)
	if err != nil {
		s.addWithheld(address)
		return
	}

	for name, values := range u.Query() {
		if strings.Contains(strings.ToLower(name), "password") {
			for _, value := range values {
				s.Add(value)
			}
		}
	}
}

// AddPasswords adds the passwords in a password file of PostgreSQL, in which each line
// ends with one.
func (s *Scrubber) AddPasswords(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		return // what this process cannot read it cannot write anywhere
	}

	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		s.Add(line[strings.LastIndexByte(line, ':')+1:])
	}
}

// AddFile adds the contents of a file, as a whole and line by line.
func (s *Scrubber) AddFile(path string) {
	const most = 1 << 20

	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > most {
		return
	}

	data, err := os.ReadFile(path)
	if err != nil {
		return // what this process cannot read it cannot write anywhere
	}

	s.Add(string(data))

	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
			s.Add(line)
		}
	}
}

// Clean returns a text without the secrets.
func (s *Scrubber) Clean(text []byte) []byte {
	// The longest first: one may be a part of another.
	slices.SortStableFunc(s.secrets, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })

	for _, secret := range s.secrets {
		text = bytes.ReplaceAll(text, secret, []byte(gone))
	}

	return text
}
