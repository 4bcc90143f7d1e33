package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
)

const (
	contoso = "99999999-8888-7777-6666-555555555555"
	app     = "11111111-2222-3333-4444-555555555555"
	home    = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	hidden  = "hUsh-7~secret.Value"
)

// good is a section without fault, with other keys on top; an empty value removes a key.
func good(more ...string) Map {
	m := Map{"tenant_id": contoso, "client_id": app, "client_secret": hidden}
	for i := 0; i < len(more); i += 2 {
		if m[more[i]] = more[i+1]; more[i+1] == "" {
			delete(m, more[i])
		}
	}

	return m
}

// workshop is a directory with files of every kind that a configuration can name.
func workshop(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	certificate, key := selfSigned(t, madeKeys()[0])
	other, _ := selfSigned(t, madeKeys()[1])

	curve, curveKey := selfSigned(t, madeKeys()[2])
	for name, content := range map[string]string{
		"secret":      "  " + hidden + "\n",
		"empty":       " \n",
		"lines":       hidden + "\n" + hidden + "\n",
		"binary":      "a\x00b",
		"latin1":      "gr\xfc\xdfe",
		"id":          contoso + "\n",
		"big":         strings.Repeat("x", maxSecretFile+1),
		"token":       "0.AAAA-seed",
		"typographic": "0.A–" + hidden,
		"endless":     strings.Repeat("x", secret.MaxToken+1),
		"half16":      "\xff\xfea\x00b",
		"both.pem":    certificate + key,
		"cert.pem":    certificate,
		"key.pem":     key,
		"mixed.pem":   other + key,
		"chain.pem":   other + certificate + key,
		"curve.pem":   curve + curveKey,
		"encrypted.pem": certificate + "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n" +
			"-----END ENCRYPTED PRIVATE KEY-----\n",
		"key32": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
		"key16": "AAECAwQFBgcICQoLDA0ODw==\n",
	} {
		write(t, filepath.Join(dir, name), content)
	}

	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()

	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// madeKeys are two RSA keys, and one that is none.
var madeKeys = sync.OnceValue(func() (keys [3]crypto.Signer) {
	var errs [3]error

	keys[0], errs[0] = rsa.GenerateKey(rand.Reader, 2048)
	keys[1], errs[1] = rsa.GenerateKey(rand.Reader, 2048)

	keys[2], errs[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}

	return keys
})

func selfSigned(t *testing.T, k crypto.Signer) (certificate, key string) {
	t.Helper()

	c := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "test"},
		NotAfter:     time.Now().Add(time.Hour),
	}

	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}

	p, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}

	certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p}))

	return certificate, key
}

// env has no variables but those named, so that tests do not depend on the machine.
func env(pairs ...string) Sources {
	return Sources{Env: func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}

		return "", false
	}}
}

func must(t *testing.T, g Getter, s Sources) *Input {
	t.Helper()

	in, _, err := FromPlugin(g, s)
	if err != nil {
		t.Fatalf("refused:\n%v", err)
	}

	return in
}

func chmod(path string, mode os.FileMode) error { return os.Chmod(path, mode) }
