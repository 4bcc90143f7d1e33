package clientcert_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/clientcert"
	"fluent-bit-defender/internal/testbed/testcert"
)

// parts are the two blocks of a file that testcert made.
func parts(t testing.TB) (cert, key []byte) {
	t.Helper()

	text, _ := testcert.New(t, time.Hour)
	at := bytes.Index(text, []byte("-----BEGIN RSA PRIVATE KEY"))

	return text[:at], text[at:]
}

// pkcs8 returns the PEM of a key in PKCS #8 form.
func pkcs8(t testing.TB, key any) []byte {
	t.Helper()

	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	return block("PRIVATE KEY", der)
}

func block(kind string, content []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
}

func join(texts ...[]byte) []byte { return bytes.Join(texts, nil) }

func TestTheCertificateOfTheKeyIsFoundWhereverItStands(t *testing.T) {
	cert, key := parts(t)
	other, _ := parts(t)

	rsaKey, want, err := clientcert.Parse(join(cert, key))
	if err != nil {
		t.Fatal(err)
	}

	for name, text := range map[string][]byte{
		"the key first":              join(key, cert),
		"PKCS #8":                    join(cert, pkcs8(t, rsaKey)),
		"another certificate before": join(other, cert, key),
		"another certificate behind": join(key, cert, other),
		"white space around":         join([]byte("\n \r\n"), cert, []byte("\n\n"), key, []byte("\n ")),
		"what openssl writes around": join([]byte("Bag Attributes\n    localKeyID: 01\n"), cert,
			[]byte("Key Attributes\n"), key),
		"lines that end as on Windows":    bytes.ReplaceAll(join(cert, key), []byte("\n"), []byte("\r\n")),
		"blocks of other kinds":           join(block("DH PARAMETERS", []byte{1}), cert, key),
		"a key labelled as the other one": join(cert, block("PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))),
	} {
		gotKey, got, err := clientcert.Parse(text)
		if err != nil || !got.Equal(want) || !gotKey.Equal(rsaKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileWithoutAWorkingPairIsExplained(t *testing.T) {
	cert, key := parts(t)
	otherCert, otherKey := parts(t)

	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	sec1, err := x509.MarshalECPrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}

	encrypted := pem.EncodeToMemory(&pem.Block{
		Type:    "RSA PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
		Bytes:   []byte("content"),
	})

	for _, c := range []struct {
		name, defect string
		text         []byte
	}{
		{"nothing", "neither a certificate nor a private key", nil},
		{"no PEM", "neither a certificate nor a private key", []byte{0x30, 0x82, 0x0a, 0}},
		{"a block without an end", "neither a certificate nor a private key", cert[:len(cert)/2]},
		{"no key", "no private key", cert},
		{"no certificate", "no certificate", key},
		{"a key that is cut", "no private key", join(cert, key[:len(key)/2])},
		{"another's key", "belongs to none of its certificates", join(cert, otherKey)},
		{"two keys", "more than one private key", join(cert, key, otherKey, otherCert)},
		{"an encrypted key of PKCS #8", "encrypted private key", join(cert, block("ENCRYPTED PRIVATE KEY", []byte{1}))},
		{"an encrypted key of OpenSSL", "encrypted private key", join(cert, encrypted)},
		{"a curve in PKCS #8", "not RSA", join(cert, pkcs8(t, curve))},
		{"a curve in SEC 1", "not RSA", join(cert, block("EC PRIVATE KEY", sec1))},
		{"a key that is none", "private key that cannot be read", join(cert, block("PRIVATE KEY", []byte("x")))},
		{"a certificate that is none", "CERTIFICATE block that cannot be read",
			join(block("CERTIFICATE", []byte("x")), key)},
	} {
		_, _, err := clientcert.Parse(c.text)

		var wrong *clientcert.Error
		if !errors.As(err, &wrong) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}

		if !strings.Contains(wrong.Defect, c.defect) || wrong.Problem != "the file "+wrong.Defect {
			t.Errorf("%s: %q, %q; want %q", c.name, wrong.Problem, wrong.Defect, c.defect)
		}

		if wrong.Remedy == "" || wrong.Fate != advice.NeedsFix || wrong.Reason != advice.CredentialWrong {
			t.Errorf("%s: %+v", c.name, wrong.Fault)
		}
	}
}

func FuzzParse(f *testing.F) {
	cert, key := parts(f)
	f.Add(join(cert, key))
	f.Add(join(key[:len(key)-40], cert))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nDEK-Info: x\n\nAAAA\n-----END PRIVATE KEY-----\n"))

	f.Fuzz(func(t *testing.T, text []byte) {
		key, cert, err := clientcert.Parse(text)
		if err == nil {
			if !key.PublicKey.Equal(cert.PublicKey) {
				t.Error("the certificate does not belong to the key")
			}

			return
		}

		var wrong *clientcert.Error
		if !errors.As(err, &wrong) || key != nil || cert != nil {
			t.Fatalf("%v, %v, %v", key != nil, cert != nil, err)
		}

		// Nothing of the file: the text of each error is one of a few.
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); len(line) > 25 && strings.Contains(wrong.Problem+wrong.Remedy, line) {
				t.Errorf("%q quotes the file", wrong.Problem)
			}
		}
	})
}
