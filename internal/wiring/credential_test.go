package wiring

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/testbed/testcert"
)

func TestAPipeInPlaceOfAFileHangsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.pem")

	text, _ := testcert.New(t, time.Hour)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}

	var said bytes.Buffer

	read := certificateFile(path, slog.New(slog.NewTextHandler(&said, nil)))
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

		if _, err := new(Transports).transport(config.Tenant{CAFile: path}); err == nil {
			t.Error("ca_file: a pipe is taken")
		}

		if _, err := StoreKey(path); err == nil {
			t.Error("key_file: a pipe is taken")
		}
	}()

	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		t.Fatal("a pipe is read without end")
	}

	if text := said.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "not a regular file") {
		t.Errorf("%q", text)
	}
}

func TestAReplacedCertificateIsJudgedAsAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.pem")
	first, _ := testcert.New(t, time.Hour)
	second, _ := testcert.New(t, time.Hour)

	read := certificateFile(path, logs.Discard())
	if _, err := read(); err == nil {
		t.Error("a file that is not there is taken")
	}

	for _, step := range []struct{ write, want []byte }{
		{first, first}, {first[:100], first}, {second, second}, {second, second},
	} {
		if err := os.WriteFile(path, step.write, 0o600); err != nil {
			t.Fatal(err)
		}

		if got, err := read(); err != nil || !bytes.Equal(got, step.want) {
			t.Errorf("%v", err)
		}
	}
}
