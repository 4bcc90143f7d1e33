package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// A token at rest is one of
//
//	(nothing)                         no token
//	0x00 token                        plain
//	0x01 keyID[8] nonce[24] sealed    XChaCha20-Poly1305; read, no longer written
//	0x02 keyID[8] nonce[24] sealed    the same, bound to the version of the row too
//
// XChaCha20 is in draft-irtf-cfrg-xchacha. Nonces are random: 192 bits do not collide.
// The associated data names chain and field, so that a token cannot be moved to another
// tenant inside the database; with form 2 it names the version of the row as well. The
// Anchor makes sure that no older row takes the place of a newer one.
const (
	formPlain   = 0
	formSealed1 = 1
	formSealed  = 2

	keyIDLen  = 8
	headerLen = 1 + keyIDLen + chacha20poly1305.NonceSizeX
)

// Key encrypts and decrypts tokens. A nil Key leaves tokens plain and reads only plain
// ones.
type Key struct {
	aead cipher.AEAD
	id   [keyIDLen]byte
	// mac is the key of the seal over the whole table.
	mac [sha256.Size]byte
}

// NewKey returns the Key made of the 32 bytes in key_file, or nil for no bytes.
func NewKey(key []byte) (*Key, error) {
	if len(key) == 0 {
		return nil, nil
	}

	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("key_file: the key has %d bytes, it must have %d", len(key), chacha20poly1305.KeySize)
	}

	k := &Key{aead: aead}
	id := derive("fluent-bit-defender key id\n", key)
	copy(k.id[:], id[:])
	k.mac = derive("fluent-bit-defender seal of tokens.db\n", key)

	return k, nil
}

// derive returns a value for one purpose, which reveals nothing about the key.
func derive(purpose string, key []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(purpose), key...))
}

// Same reports whether both are the same key, or both are nil.
func (k *Key) Same(other *Key) bool {
	if k == nil || other == nil {
		return k == other
	}

	return k.id == other.id
}

// Place is where a token is stored. An encrypted token is bound to it.
type Place struct {
	Key     tokens.ChainKey
	Field   string
	Version int64
}

func (p Place) associated(form byte) []byte {
	b := fmt.Appendf(nil, "%q %q %q %s", p.Key.LoginHost, p.Key.TenantID, p.Key.ClientID, p.Field)
	if form == formSealed {
		b = fmt.Appendf(b, " %d", p.Version)
	}

	return b
}

// Encrypt returns a token in the form in which it is stored at a place.
func (k *Key) Encrypt(at Place, t secret.Text) ([]byte, error) {
	switch {
	case t.IsZero():
		return nil, nil
	case k == nil:
		return append([]byte{formPlain}, t.Reveal()...), nil
	}

	out := make([]byte, headerLen, headerLen+len(t.Reveal())+k.aead.Overhead())
	out[0] = formSealed
	copy(out[1:], k.id[:])

	nonce := out[1+keyIDLen:]
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}

	return k.aead.Seal(out, nonce, []byte(t.Reveal()), at.associated(formSealed)), nil
}

// Decrypt returns the token that is stored at a place. For a plain one it returns
// store.ErrPlain, since whoever can write the database could have put it there; if
// plainToo is true, it accepts it, so that it can be encrypted. For a token of another
// key it returns store.ErrKey.
func (k *Key) Decrypt(at Place, b []byte, plainToo bool) (secret.Text, error) {
	switch {
	case len(b) == 0:
		return secret.Text{}, nil
	case b[0] == formPlain && k != nil && !plainToo:
		return secret.Text{}, fmt.Errorf("tenant %s: %w", at.Key.TenantID, errPlain)
	case b[0] == formPlain:
		return secret.New(string(b[1:])), nil
	case b[0] != formSealed && b[0] != formSealed1 || len(b) < headerLen:
		return secret.Text{}, fmt.Errorf("tokens of tenant %s: %w: unknown form", at.Key.TenantID, store.ErrKey)
	}

	id := b[1 : 1+keyIDLen]
	if err := k.mismatch(id); err != nil {
		return secret.Text{}, fmt.Errorf("tenant %s: %w", at.Key.TenantID, err)
	}

	plain, err := k.aead.Open(nil, b[1+keyIDLen:headerLen], b[headerLen:], at.associated(b[0]))
	if err != nil {
		return secret.Text{}, fmt.Errorf("tokens of tenant %s: %w, or were tampered with: they do not decrypt (%w)",
			at.Key.TenantID, store.ErrKey, err)
	}

	return secret.New(string(plain)), nil
}

// errPlain is store.ErrPlain with its remedy.
var errPlain = fmt.Errorf("%w: if you have just set key_file, stop Fluent Bit and run "+
	"`defenderctl tokens rekey --key-file FILE`", store.ErrPlain)

// mismatch returns store.ErrKey, with its remedy, unless id is that of k.
func (k *Key) mismatch(id []byte) error {
	switch {
	case k == nil:
		return fmt.Errorf("%w (key id %x) and key_file is not set; set it to the file with that key", store.ErrKey, id)
	case !bytes.Equal(id, k.id[:]):
		return fmt.Errorf("%w (key id %x, the one in key_file is %x); put the right key into key_file",
			store.ErrKey, id, k.id)
	}

	return nil
}

// Current reports whether b is in the form in which k would write it now.
func (k *Key) Current(b []byte) bool {
	switch {
	case len(b) == 0:
		return true
	case k == nil:
		return b[0] == formPlain
	}

	return b[0] == formSealed && k.encrypted(b)
}

// encrypted reports whether b was encrypted with k, in either form.
func (k *Key) encrypted(b []byte) bool {
	return k != nil && len(b) >= headerLen && b[0] != formPlain && bytes.Equal(b[1:1+keyIDLen], k.id[:])
}

// authenticate returns the authentication code of a text under the key of the seal.
func (k *Key) authenticate(purpose string, text []byte) (code [sha256.Size]byte) {
	h := hmac.New(sha256.New, k.mac[:])
	h.Write([]byte(purpose))
	h.Write(text)
	h.Sum(code[:0])

	return code
}
