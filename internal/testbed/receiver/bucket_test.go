package receiver

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
)

func TestABucketTakesSignedObjectsOfJSONLines(t *testing.T) {
	var packed bytes.Buffer

	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("{\"a\":1}\n{\"a\":2}\n")); err != nil {
		t.Fatal(err)
	}

	if err := z.Close(); err != nil {
		t.Fatal(err)
	}

	sum := sha256.Sum256(packed.Bytes())
	whole := hex.EncodeToString(sum[:])
	signed := "AWS4-HMAC-SHA256 Credential=AKIA/20260203/eu-central-1/s3/aws4_request, " +
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=00"

	for name, c := range map[string]struct {
		method, path, signature, sum string
		status, lines                int
	}{
		"an object":        {http.MethodPut, "/b/k", signed, whole, 200, 2},
		"another bucket":   {http.MethodPut, "/c/k", signed, whole, 400, 0},
		"no key":           {http.MethodPut, "/b/", signed, whole, 400, 0},
		"no signature":     {http.MethodPut, "/b/k", "", whole, 400, 0},
		"another checksum": {http.MethodPut, "/b/k", signed, "00", 400, 0},
		"another method":   {http.MethodPost, "/b/k", signed, whole, 400, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := StartBucket(BucketConfig{Name: "b", Region: "eu-central-1", AccessKey: "AKIA"})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()

			r, err := http.NewRequest(
				c.method, fmt.Sprintf("http://127.0.0.1:%d%s", b.Port(), c.path), bytes.NewReader(packed.Bytes()))
			if err != nil {
				t.Fatal(err)
			}

			r.Header.Set("Authorization", c.signature)
			r.Header.Set("X-Amz-Content-Sha256", c.sum)

			a, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}

			a.Body.Close()

			lines, err := b.Lines()
			if err != nil || a.StatusCode != c.status || len(lines) != c.lines {
				t.Errorf("%d, %d lines, %v", a.StatusCode, len(lines), err)
			}
		})
	}
}
