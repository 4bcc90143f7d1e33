// Package secret holds texts that must not be seen: client secrets, refresh and access
// tokens, authorization codes.
//
// A Text prints as "[redacted]" whatever verb, encoder or logger prints it, alone or
// inside a struct. Only Reveal returns the text itself, so that a search for that name
// finds every place where a secret is used.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every printed Text looks like; an empty one prints as nothing, since
// there is nothing to hide.
const Redacted = "[redacted]"

// Text is a secret. The zero value is "no secret". Compare texts with Equal: ==
// compares pointers.
type Text struct {
	// A pointer keeps reflection-based printers, which ignore methods on unexported
	// fields, from walking into the string.
	value *string
}

// New returns the secret s. An empty s is the zero Text.
func New(s string) Text {
	if s == "" {
		return Text{}
	}

	return Text{&s}
}

// Reveal returns the secret itself: for the body of a sign-in request, an Authorization
// header, or the store.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}

	return *t.value
}

// IsZero reports whether there is no secret.
func (t Text) IsZero() bool { return t.value == nil }

// Equal compares two secrets in constant time.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// Fingerprint returns the SHA-256 of the secret, which may be stored to know it again.
func (t Text) Fingerprint() [32]byte { return sha256.Sum256([]byte(t.Reveal())) }

// String returns Redacted, or nothing when there is no secret.
func (t Text) String() string {
	if t.value == nil {
		return ""
	}

	return Redacted
}

// GoString returns String, for %#v.
func (t Text) GoString() string { return t.String() }

// Format prints String for every verb and flag.
func (t Text) Format(s fmt.State, _ rune) { io.WriteString(s, t.String()) }

// MarshalText returns String, for encoding/json and YAML encoders.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue returns String, for log/slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MaxToken is how many bytes a token may have: as many as web servers accept in one
// header line. The longest tokens that Entra issues have some 4,000.
const MaxToken = 16 << 10

// Reasons why a text is not a token. Each completes a sentence that begins with the
// name of what was read.
var (
	errLong       = fmt.Errorf("is longer than %d bytes, so it is not a token", MaxToken)
	errCharacters = errors.New(
		"has characters that no token has (only printable ASCII may stand in one): copy it again, whole",
	)
)

// CheckToken reports why t cannot be a refresh token or an authorization code: it is
// longer than MaxToken, or has other characters than printable ASCII (RFC 6749 appendices
// A.11 and A.17). The zero Text passes.
func (t Text) CheckToken() error {
	s := t.Reveal()
	if len(s) > MaxToken {
		return errLong
	}

	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return errCharacters
		}
	}

	return nil
}
