package store

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// A token at rest is one of
//
//	(nothing)                               no token
//	0x00 token                              plain; the file is 0600
//	0x01 keyID[8] nonce[24] sealed          XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha); nonces are random: 192 bits do not collide
//
// The associated data names chain and field, so that a token cannot be moved to another tenant inside the file.
const (
	formPlain  = 0
	formSealed = 1
	keyIDLen   = 8
)

// sealer encrypts and decrypts tokens with one key; a nil sealer keeps them plain and reads only plain ones.
type sealer struct {
	aead cipher.AEAD
	id   [keyIDLen]byte
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
	sum := sha256.Sum256(append([]byte("fluent-bit-defender key id\n"), key...))
	copy(s.id[:], sum[:])
	return s, nil
}

func associated(key tokens.ChainKey, field string) []byte {
	return fmt.Appendf(nil, "%q %q %q %s", key.LoginHost, key.TenantID, key.ClientID, field)
}

func (s *sealer) seal(key tokens.ChainKey, field string, t secret.Text) ([]byte, error) {
	switch {
	case t.IsZero():
		return nil, nil
	case s == nil:
		return append([]byte{formPlain}, t.Reveal()...), nil
	}
	out := make([]byte, 1+keyIDLen+chacha20poly1305.NonceSizeX, 1+keyIDLen+chacha20poly1305.NonceSizeX+len(t.Reveal())+s.aead.Overhead())
	out[0] = formSealed
	copy(out[1:], s.id[:])
	nonce := out[1+keyIDLen:]
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return s.aead.Seal(out, nonce, []byte(t.Reveal()), associated(key, field)), nil
}

func (s *sealer) open(key tokens.ChainKey, field string, b []byte) (secret.Text, error) {
	if len(b) == 0 {
		return secret.Text{}, nil
	}
	if b[0] == formPlain {
		return secret.New(string(b[1:])), nil
	}
	head := 1 + keyIDLen + chacha20poly1305.NonceSizeX
	if b[0] != formSealed || len(b) < head {
		return secret.Text{}, fmt.Errorf("tokens of tenant %s: %w: unknown form", key.TenantID, ErrKey)
	}
	if s == nil {
		return secret.Text{}, fmt.Errorf("tenant %s: %w (key id %x) and key_file is not set; set it to the file with that key",
			key.TenantID, ErrKey, b[1:1+keyIDLen])
	}
	if !bytes.Equal(b[1:1+keyIDLen], s.id[:]) {
		return secret.Text{}, fmt.Errorf("tenant %s: %w (key id %x, the one in key_file is %x); put the right key into key_file, "+
			"or sign in again with `defenderctl tokens acquire`", key.TenantID, ErrKey, b[1:1+keyIDLen], s.id)
	}
	plain, err := s.aead.Open(nil, b[1+keyIDLen:head], b[head:], associated(key, field))
	if err != nil {
		return secret.Text{}, errors.Join(fmt.Errorf("tokens of tenant %s: %w, or were tampered with: they do not decrypt", key.TenantID, ErrKey), err)
	}
	return secret.New(string(plain)), nil
}

// sealedBy tells whether b is in the form in which s would write it now.
func (s *sealer) sealedBy(b []byte) bool {
	switch {
	case len(b) == 0:
		return true
	case s == nil:
		return b[0] == formPlain
	}
	return b[0] == formSealed && len(b) > keyIDLen && bytes.Equal(b[1:1+keyIDLen], s.id[:])
}
