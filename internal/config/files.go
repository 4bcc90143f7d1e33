package config

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/clientcert"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/secret"
)

// The largest sizes of files named in a configuration. A larger file is a wrong one.
const (
	maxSecretFile  = 64 << 10
	maxPEMFile     = 8 << 20
	maxTenantsFile = 4 << 20 // tens of thousands of tenants
)

// Reasons why a text cannot be a secret.
var (
	errEmpty   = errors.New("is empty")
	errLines   = errors.New("has more than one line")
	errControl = errors.New("has control characters or is not text")
)

// ParseSecret returns the secret in a text that holds nothing else, in any encoding
// that plain.Decode reads. Every secret of a configuration or a flag is read with it.
// Its errors complete a sentence that begins with the name of what was read.
func ParseSecret(data []byte) (secret.Text, error) {
	text, err := plain.Decode(data)
	if err != nil {
		return secret.Text{}, err
	}

	s := strings.TrimSpace(string(text))
	switch {
	case s == "":
		return secret.Text{}, errEmpty
	case strings.ContainsAny(s, "\r\n"):
		return secret.Text{}, errLines
	case strings.ContainsFunc(s, unicode.IsControl):
		return secret.Text{}, errControl
	}

	return secret.New(s), nil
}

// parseFor is ParseSecret for the value of a key. A refresh token must also look like
// one.
func parseFor(key string, data []byte) (secret.Text, error) {
	t, err := ParseSecret(data)
	if err == nil && strings.HasPrefix(key, "refresh_token") {
		err = t.CheckToken()
	}

	if err != nil {
		return secret.Text{}, err
	}

	return t, nil
}

// secretText checks a secret that is written in the configuration itself.
func (r *reader) secretText(key string, v value) secret.Text {
	t, err := parseFor(key, []byte(v.text))
	if err != nil {
		r.fault(key, v, err.Error(), "write the secret itself on one line")
	}

	if quoted(v.text) {
		r.warning(
			key,
			v,
			"is in quotation marks, which become part of it",
			"remove them, unless they belong to it",
		)
	}

	return t
}

// secretFile reads the file of a secret in order to check it. The part that uses the
// secret reads it again (ReadSecret).
func (r *reader) secretFile(key string, v value) secret.Text {
	path := v.text

	c := r.read(path, maxSecretFile)
	if c.err == nil {
		var t secret.Text
		if t, c.err = parseFor(key, c.data); c.err == nil {
			r.warnOpen(key, v, path, c)
			return t
		}
	}

	remedy := remedyOf(c.err, "put the secret alone into it, readable by the user Fluent Bit runs as")
	r.fault(key, v, namedSecret(path)+" "+c.err.Error(), remedy)

	return secret.Text{}
}

// named returns the words for a file in a message.
func named(path string) string { return "file \"" + plain.Text(path, 256) + "\"" }

// namedSecret is named for a file with a secret. A value that is no path may be a
// secret under the wrong key, and is not repeated.
func namedSecret(path string) string {
	if !filepath.IsAbs(path) && !strings.HasPrefix(path, ".") {
		return "the file named here"
	}

	return named(path)
}

// warnOpen warns of a file with a secret that every user can read, or that another user
// owns.
func (r *reader) warnOpen(key string, v value, path string, c fileContent) {
	if c.mode.Perm()&0o004 != 0 {
		problem := namedSecret(path) + " can be read by every user of this machine"
		r.warning(key, v, problem, "chmod o-rwx "+plain.Shell(path))
	}

	r.warnForeign(key, v, c)
}

// warnForeign warns of a file that another user owns and can therefore change, which
// may be intended. For root the owner of data_dir is no other user: Fluent Bit runs as
// that user, and only defenderctl as root.
func (r *reader) warnForeign(key string, v value, c fileContent) {
	if c.foreign == nil || r.dataOwner != 0 && ownerOf(c.foreign.Path) == r.dataOwner {
		return
	}

	r.warning(key, v, plain.Shell(c.foreign.Path)+" "+c.foreign.Problem, c.foreign.Remedy)
}

// ownerOf returns the user who owns a file or directory, 0 where that cannot be told.
func ownerOf(path string) uint32 {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0
	}

	return st.Uid
}

// adviseSecret warns of the most common mistake: the portal shows the secret's ID
// beside its value (AADSTS7000215).
func (r *reader) adviseSecret(key string, v value, t secret.Text) {
	if alert.IsGUID(t.Reveal()) {
		r.warning(
			key,
			v,
			"this looks like the secret's ID, not its value",
			"use the value, which the portal shows once when the secret is made",
		)
	}
}

// checkCertificate reads a PEM file with certificate and private key.
func (r *reader) checkCertificate(v value) {
	const key = "client_certificate_file"

	path := v.text

	c := r.read(path, maxPEMFile)
	if c.err != nil {
		usual := "put the certificate and its private key, both PEM and not encrypted, into one file"
		r.fault(key, v, namedSecret(path)+" "+c.err.Error(), remedyOf(c.err, usual))

		return
	}

	var wrong *clientcert.Error
	if _, _, err := clientcert.Parse(decodePEM(c.data)); errors.As(err, &wrong) {
		r.fault(key, v, namedSecret(path)+" "+wrong.Defect, wrong.Remedy)
		return
	}

	r.warnOpen(key, v, path, c)
}

// bundle is a file with certificate authorities, after a check.
type bundle struct {
	fileContent

	unread, all int // certificates that x509 skips, and all that begin in the file
}

// bundle checks a ca_file, only once for all tenants that name it.
func (b *builder) bundle(path string) bundle {
	if known, ok := b.bundles[path]; ok {
		return known
	}

	c := bundle{fileContent: b.read(path, maxPEMFile)}
	if c.err == nil {
		text := decodePEM(c.data)
		c.unread, c.all = unreadCertificates(text)

		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			c.err = errors.New("has no certificate in PEM form")
		}
	}

	b.bundles[path] = c

	return c
}

func (r *reader) checkCAFile(path string) {
	v := r.raw("ca_file")

	c := r.bundle(path)
	if c.err != nil {
		usual := "name a PEM file with the certificate authorities to trust"
		r.fault("ca_file", v, named(path)+" "+c.err.Error(), remedyOf(c.err, usual))

		return
	}

	if c.unread > 0 {
		problem := fmt.Sprintf(
			"%s: %d of %d certificates cannot be read and are not trusted",
			named(path),
			c.unread,
			c.all,
		)
		r.warning(
			"ca_file",
			v,
			problem,
			"look for blanks before -----BEGIN, cut lines and damage: openssl x509 -in FILE",
		)
	}

	r.warnForeign("ca_file", v, c.fileContent)
}

// ReadPEM reads a file with certificates or a private key. Like every file named in a
// configuration it must be a regular file of a sane size that no other user may change.
// It never waits for a pipe.
func ReadPEM(path string) ([]byte, error) {
	c := readFile(Sources{}, path, maxPEMFile)
	if c.err != nil {
		return nil, unusable(named(path), c.err)
	}

	return decodePEM(c.data), nil
}

// decodePEM returns PEM as UTF-8 without a byte order mark: with one, the first
// certificate would be skipped silently. Data that is no text is returned as it is; the
// reader of PEM reports it.
func decodePEM(data []byte) []byte {
	text, err := plain.Decode(data)
	if err != nil {
		return data
	}

	// Concatenated files have a byte order mark in the middle, too. It would hide the
	// certificate after it, whose first line must begin with dashes.
	return bytes.ReplaceAll(text, []byte("\ufeff"), nil)
}

// unreadCertificates returns how many certificates of a bundle x509 skips silently, and
// how many begin in it.
func unreadCertificates(bundle []byte) (unread, all int) {
	all = bytes.Count(bundle, []byte("-----BEGIN CERTIFICATE-----"))
	read := 0

	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return max(0, all-read), all
		}

		if _, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			read++
		}
	}
}

// ReadKey reads a key_file.
func ReadKey(path string) ([]byte, error) {
	c := readFile(Sources{}, path, maxSecretFile)
	if c.err != nil {
		return nil, unusable(namedSecret(path), c.err)
	}

	key, err := ParseKey(c.data)
	if err != nil {
		return nil, fmt.Errorf("%s %w", namedSecret(path), err)
	}

	return key, nil
}

// ErrKey is wrapped by the errors of ParseKey.
var ErrKey = errors.New("is not 32 bytes in base64")

// ParseKey reads the content of a key_file: 32 bytes in base64 (RFC 4648, sections 4
// and 5, padded or not).
func ParseKey(data []byte) ([]byte, error) {
	text, err := plain.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%w, and %w", ErrKey, err)
	}

	s := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.TrimSpace(string(text)), "="))

	key, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil || len(key) != 32 {
		return nil, ErrKey
	}

	return key, nil
}

func (r *reader) checkKeyFile(path string) {
	v := r.raw("key_file")

	c := r.read(path, maxSecretFile)
	if c.err == nil {
		_, c.err = ParseKey(c.data)
	}

	if c.err != nil {
		remedy := remedyOf(c.err, "make one with: head -c 32 /dev/urandom | base64")
		r.fault("key_file", v, namedSecret(path)+" "+c.err.Error(), remedy)

		return
	}

	r.warnOpen("key_file", v, path, c)
}
