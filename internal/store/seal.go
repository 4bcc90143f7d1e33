package store

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// A token at rest is one of
//
//	(nothing)                               no token
//	0x00 token                              plain; the file is 0600
//	0x01 keyID[8] nonce[24] sealed          XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha); read, no longer written
//	0x02 keyID[8] nonce[24] sealed          the same, bound to the version of the row too
//
// Nonces are random: 192 bits do not collide. The associated data names chain and field,
// so that a token cannot be moved to another tenant inside the file; with form 2 it names
// the version of the row as well. That no older row takes the place of a newer one is the
// business of the seal (anchor.go).
const (
	formPlain   = 0
	formSealed1 = 1
	formSealed  = 2

	keyIDLen  = 8
	headerLen = 1 + keyIDLen + chacha20poly1305.NonceSizeX
)

// sealer encrypts and decrypts tokens with one key; a nil sealer keeps them plain and
// reads only plain ones.
type sealer struct {
	aead cipher.AEAD
	id   [keyIDLen]byte
	// mac is the key of the seal over the whole table.
	mac [sha256.Size]byte
}

func newSealer(key []byte) (*sealer, error) {
	if len(key) == 0 {
		return nil, nil
	}

	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("key_file: the key has %d bytes, it must have %d", len(key), chacha20poly1305.KeySize)
	}

	s := &sealer{aead: aead}
	id := derived("fluent-bit-defender key id\n", key)
	copy(s.id[:], id[:])
	s.mac = derived("fluent-bit-defender seal of tokens.db\n", key)

	return s, nil
}

// derived returns a value that tells nothing about the key, for one purpose.
func derived(purpose string, key []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(purpose), key...))
}

// place is where a token stands: it is bound to it.
type place struct {
	key     tokens.ChainKey
	field   string
	version int64
}

func (p place) associated(form byte) []byte {
	b := fmt.Appendf(nil, "%q %q %q %s", p.key.LoginHost, p.key.TenantID, p.key.ClientID, p.field)
	if form == formSealed {
		b = fmt.Appendf(b, " %d", p.version)
	}

	return b
}

func (s *sealer) seal(at place, t secret.Text) ([]byte, error) {
	switch {
	case t.IsZero():
		return nil, nil
	case s == nil:
		return append([]byte{formPlain}, t.Reveal()...), nil
	}

	out := make([]byte, headerLen, headerLen+len(t.Reveal())+s.aead.Overhead())
	out[0] = formSealed
	copy(out[1:], s.id[:])

	nonce := out[1+keyIDLen:]
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}

	return s.aead.Seal(out, nonce, []byte(t.Reveal()), at.associated(formSealed)), nil
}

// open returns the token that stands at a place. A plain one is refused by a sealer that
// has a key: whoever can write the file could have put it there. plainToo lets it
// through, for re-encryption.
func (s *sealer) open(at place, b []byte, plainToo bool) (secret.Text, error) {
	switch {
	case len(b) == 0:
		return secret.Text{}, nil
	case b[0] == formPlain && s != nil && !plainToo:
		return secret.Text{}, fmt.Errorf("tenant %s: %w", at.key.TenantID, errPlain)
	case b[0] == formPlain:
		return secret.New(string(b[1:])), nil
	case b[0] != formSealed && b[0] != formSealed1 || len(b) < headerLen:
		return secret.Text{}, fmt.Errorf("tokens of tenant %s: %w: unknown form", at.key.TenantID, ErrKey)
	}

	id := b[1 : 1+keyIDLen]
	if s == nil {
		return secret.Text{}, fmt.Errorf("tenant %s: %w", at.key.TenantID, noKey(id))
	}

	if !bytes.Equal(id, s.id[:]) {
		return secret.Text{}, fmt.Errorf("tenant %s: %w", at.key.TenantID, s.wrongKey(id))
	}

	plain, err := s.aead.Open(nil, b[1+keyIDLen:headerLen], b[headerLen:], at.associated(b[0]))
	if err != nil {
		return secret.Text{}, fmt.Errorf("tokens of tenant %s: %w, or were tampered with: they do not decrypt (%w)",
			at.key.TenantID, ErrKey, err)
	}

	return secret.New(string(plain)), nil
}

// errPlain is ErrPlain with what to do.
var errPlain = fmt.Errorf("%w: if you have just set key_file, stop Fluent Bit and run "+
	"`defenderctl tokens rekey --key-file FILE`", ErrPlain)

func noKey(id []byte) error {
	return fmt.Errorf("%w (key id %x) and key_file is not set; set it to the file with that key", ErrKey, id)
}

func (s *sealer) wrongKey(id []byte) error {
	return fmt.Errorf("%w (key id %x, the one in key_file is %x); put the right key into key_file", ErrKey, id, s.id)
}

// sealedBy reports whether b is in the form in which s would write it now.
func (s *sealer) sealedBy(b []byte) bool {
	switch {
	case len(b) == 0:
		return true
	case s == nil:
		return b[0] == formPlain
	}

	return b[0] == formSealed && s.hasKeyOf(b)
}

// hasKeyOf reports whether b was encrypted with the key of s, in either form.
func (s *sealer) hasKeyOf(b []byte) bool {
	return s != nil && len(b) >= headerLen && b[0] != formPlain && bytes.Equal(b[1:1+keyIDLen], s.id[:])
}

// authenticate returns the authentication code of a text under the key of the seal.
func (s *sealer) authenticate(purpose string, text []byte) (code [sha256.Size]byte) {
	h := hmac.New(sha256.New, s.mac[:])
	h.Write([]byte(purpose))
	h.Write(text)
	h.Sum(code[:0])

	return code
}
