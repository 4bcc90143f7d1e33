package instance

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/config"
)

// makeCertificate gives a certificate that ends after life, and PEM with it and its key.
func makeCertificate(t testing.TB, life time.Duration) ([]byte, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "app"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(
			&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
		)...), certificate
}

func TestAPipeInPlaceOfAFileHangsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.pem")
	text, _ := makeCertificate(t, time.Hour)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	read := certificateFile(path, func(_, line string) { said = append(said, line) })
	if got, err := read(); err != nil || !bytes.Equal(got, text) {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			if got, err := read(); err != nil || !bytes.Equal(got, text) {
				t.Errorf("the last good certificate is not used: %v", err)
			}
		}
		if _, err := newShared().transport(config.Tenant{CAFile: path}); err == nil {
			t.Error("ca_file: a pipe is taken")
		}
		if _, err := ReadKey(path); err == nil {
			t.Error("key_file: a pipe is taken")
		}
	}()
	wait(t, "a file that is none", done)
	if len(said) != 1 || !strings.Contains(said[0], "not a regular file") {
		t.Errorf("%q", said)
	}
}

func TestAReplacedCertificateIsJudgedAsAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.pem")
	first, _ := makeCertificate(t, time.Hour)
	second, _ := makeCertificate(t, time.Hour)
	read := certificateFile(path, func(string, string) {})
	if _, err := read(); err == nil {
		t.Error("a file that is not there is taken")
	}
	for _, step := range []struct{ write, want []byte }{{first, first}, {first[:100], first}, {second, second}, {second, second}} {
		if err := os.WriteFile(path, step.write, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(); err != nil || !bytes.Equal(got, step.want) {
			t.Errorf("%v", err)
		}
	}
}
