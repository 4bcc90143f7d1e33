package receiver

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// BucketConfig describes a bucket of S3.
type BucketConfig struct {
	// Name and Region are those of the bucket; AccessKey is the id of the key that may
	// write to it.
	Name, Region, AccessKey string
	// TLS is the server's; nil means plain HTTP.
	TLS *tls.Config
}

// Bucket is a running S3 service with one bucket.
type Bucket struct {
	listening
	cfg BucketConfig

	mu      sync.Mutex
	objects map[string][]byte
	faults  []string
}

// StartBucket starts a service on a free port of 127.0.0.1.
func StartBucket(cfg BucketConfig) (*Bucket, error) {
	b := &Bucket{cfg: cfg, objects: map[string][]byte{}}

	var err error
	if b.listening, err = listen(b, cfg.TLS); err != nil {
		return nil, err
	}

	return b, nil
}

// Faults returns what was wrong with requests.
func (b *Bucket) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()

	return slices.Clone(b.faults)
}

// Lines returns the lines of all objects, unpacked; objects in the order of their keys.
// Its error says which object is not gzip with one JSON object a line.
func (b *Bucket) Lines() ([]json.RawMessage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	var lines []json.RawMessage

	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		unpacked, err := gzip.NewReader(bytes.NewReader(b.objects[key]))
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", key, err)
		}

		scanner := bufio.NewScanner(unpacked)
		scanner.Buffer(nil, 64<<20)

		for scanner.Scan() {
			if !json.Valid(scanner.Bytes()) {
				return nil, fmt.Errorf("object %s: a line is not JSON", key)
			}

			lines = append(lines, bytes.Clone(scanner.Bytes()))
		}

		if err := scanner.Err(); err != nil {
			return nil, fmt.Errorf("object %s: %w", key, err)
		}
	}

	return lines, nil
}

// ServeHTTP answers a request that puts an object (Amazon S3 API reference).
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := b.put(r); err != nil {
		b.mu.Lock()
		b.faults = append(b.faults, err.Error())
		b.mu.Unlock()

		http.Error(w, "<Error><Code>InvalidRequest</Code></Error>", http.StatusBadRequest)

		return
	}

	w.Header().Set("ETag", `"0"`)
}

// put keeps an object.
func (b *Bucket) put(r *http.Request) error {
	key, found := strings.CutPrefix(r.URL.Path, "/"+b.cfg.Name+"/")
	if r.Method != http.MethodPut || !found || key == "" {
		return fmt.Errorf("%s %s does not put an object into the bucket", r.Method, r.URL.Path)
	}

	// The form of the signature and what it covers are checked, not its value.
	scope := fmt.Sprintf("/%s/s3/aws4_request,", b.cfg.Region)
	signature := r.Header.Get("Authorization")

	if !strings.HasPrefix(signature, "AWS4-HMAC-SHA256 Credential="+b.cfg.AccessKey+"/") ||
		!strings.Contains(signature, scope) || !strings.Contains(signature, "x-amz-content-sha256") {
		return errors.New("the request is not signed for the bucket's region")
	}

	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}

	sum := sha256.Sum256(body)
	if r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
		return errors.New("x-amz-content-sha256 is not the body's")
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	if b.objects[key] != nil {
		return fmt.Errorf("object %s is written twice", key)
	}

	b.objects[key] = body

	return nil
}
