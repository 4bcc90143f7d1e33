package main

import (
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsPostedIsEveryAlertOnce(t *testing.T) {
	var got []string

	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zip, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}

		var alerts []struct{ ID string }
		if err := json.NewDecoder(zip).Decode(&alerts); err != nil {
			t.Error(err)
		}

		for _, a := range alerts {
			got = append(got, a.ID[:1])
		}

		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()

	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())

	lines := filepath.Join(t.TempDir(), "lines")
	long := strings.Repeat("x", postedBytes*2/3)

	var text strings.Builder
	for _, id := range []string{"a", "b", "c"} {
		text.WriteString(`{"id":"` + id + long + "\"}\n")
	}

	if err := os.WriteFile(lines, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	if err := postAll(t.Context(), server.URL, trusted, lines); err != nil {
		t.Fatal(err)
	}

	if all := strings.Join(got, ""); all != "abc" {
		t.Errorf("got %q, want %q", all, "abc")
	}
}
