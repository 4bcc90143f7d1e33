package flbhost

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// receiver is where a real Fluent Bit delivers: out_http with "format msgpack" sends a
// chunk's bytes as they are, so that integers, key order and text stay exact. It keeps
// them in chunk files of the host's form.
type receiver struct {
	dir    string
	server *http.Server
	port   int
	refuse atomic.Bool // answer 503: Fluent Bit keeps the chunk and tries again
	took   func(tag string, events, bytes int)

	mu       sync.Mutex
	sequence int
}

// tagHeader is the header in which out_http sends the chunk's tag.
const tagHeader = "X-Fluent-Tag"

func newReceiver(dir string, took func(tag string, events, bytes int)) (*receiver, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("flbhost: %w", err)
	}

	old, err := filepath.Glob(filepath.Join(dir, "*.chunk"))
	if err != nil {
		return nil, fmt.Errorf("flbhost: %w", err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("flbhost: %w", err)
	}

	r := &receiver{
		dir:      dir,
		port:     l.Addr().(*net.TCPAddr).Port,
		took:     took,
		sequence: len(old),
	}

	r.server = &http.Server{Handler: http.HandlerFunc(r.receive), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(l) }() // ends with Close

	return r, nil
}

func (r *receiver) receive(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil || r.refuse.Load() {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}

	tag := req.Header.Get(tagHeader)
	if err := r.keep(tag, body); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}

	r.took(tag, len(DecodeEvents(tag, body)), len(body))
}

func (r *receiver) keep(tag string, body []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.sequence++

	path := filepath.Join(r.dir, fmt.Sprintf("%010d.chunk", r.sequence))
	part := path + ".part" // Records reads no chunk before it is whole

	err := os.WriteFile(part, encodeChunk(tag, body), 0o644)
	if err == nil {
		err = os.Rename(part, path)
	}

	if err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}

	return nil
}

func (r *receiver) close() { _ = r.server.Close() }
