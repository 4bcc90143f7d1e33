package receiver

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// BulkConfig describes a cluster of Elasticsearch or OpenSearch.
type BulkConfig struct {
	// Index is the one that the sender may write to, and Pipeline the one that must be
	// named; empty for none.
	Index, Pipeline string
	// User and Password are what the sender has to sign in with.
	User, Password string
	// TLS is the server's; nil means plain HTTP.
	TLS *tls.Config
	// BusyEvery makes it refuse every n-th document with 429. 0 means never.
	BusyEvery int
}

// BulkDocument is a document that the cluster has.
type BulkDocument struct {
	ID     string
	Source json.RawMessage
}

// Bulk is a running cluster, as far as its bulk API goes.
type Bulk struct {
	listening
	cfg BulkConfig

	mu        sync.Mutex
	number    int // of documents sent
	ids       map[string]bool
	documents []BulkDocument
	conflicts int
	faults    []string
}

// StartBulk starts a cluster on a free port of 127.0.0.1.
func StartBulk(cfg BulkConfig) (*Bulk, error) {
	b := &Bulk{cfg: cfg, ids: map[string]bool{}}

	var err error
	if b.listening, err = listen(b, cfg.TLS); err != nil {
		return nil, err
	}

	return b, nil
}

// Documents returns the documents, in order.
func (b *Bulk) Documents() []BulkDocument {
	b.mu.Lock()
	defer b.mu.Unlock()

	return slices.Clone(b.documents)
}

// Conflicts returns how many documents were refused because their id was there.
func (b *Bulk) Conflicts() int {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.conflicts
}

// Faults returns what was wrong with requests.
func (b *Bulk) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()

	return slices.Clone(b.faults)
}

// ServeHTTP answers a request to the bulk API ("Bulk API" of the Elasticsearch
// reference).
func (b *Bulk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	items, err := b.accept(r)
	if err != nil {
		b.mu.Lock()
		b.faults = append(b.faults, err.Error())
		b.mu.Unlock()

		http.Error(w, err.Error(), http.StatusBadRequest)

		return
	}

	failed := slices.ContainsFunc(items, func(i bulkItem) bool { return i.Create.Status != http.StatusCreated })

	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"took": 1, "errors": failed, "items": items}) // the sender may be gone
}

// bulkItem is the result for one document.
type bulkItem struct {
	Create struct {
		Index  string `json:"_index"`
		ID     string `json:"_id"`
		Status int    `json:"status"`
		Error  any    `json:"error,omitempty"`
	} `json:"create"`
}

// accept reads a request and keeps its documents.
func (b *Bulk) accept(r *http.Request) ([]bulkItem, error) {
	switch {
	case r.Method != http.MethodPost || strings.TrimSuffix(r.URL.Path, "/") != "/_bulk":
		return nil, fmt.Errorf("%s %s is not the bulk API", r.Method, r.URL.Path)
	case r.Header.Get("Authorization") != b.authorization():
		return nil, errors.New("the credential is wrong")
	case r.Header.Get("Content-Type") != "application/x-ndjson":
		return nil, fmt.Errorf("Content-Type is %q", r.Header.Get("Content-Type"))
	case r.URL.Query().Get("pipeline") != b.cfg.Pipeline:
		return nil, fmt.Errorf("the pipeline is %q", r.URL.Query().Get("pipeline"))
	}

	body := r.Body

	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}

		body = unpacked
	}

	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}

	if !bytes.HasSuffix(text, []byte("\n")) {
		return nil, errors.New("the body must end with a line break")
	}

	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if len(lines)%2 != 0 {
		return nil, fmt.Errorf("%d lines are no pairs of action and document", len(lines))
	}

	var items []bulkItem

	for pair := range slices.Chunk(lines, 2) {
		item, err := b.create(pair[0], pair[1])
		if err != nil {
			return nil, err
		}

		items = append(items, item)
	}

	return items, nil
}

// authorization returns the header that a sender must have.
func (b *Bulk) authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(b.cfg.User+":"+b.cfg.Password))
}

// create carries out one action. A data stream takes no action but create, and no
// document without @timestamp.
func (b *Bulk) create(action, source []byte) (item bulkItem, err error) {
	var what struct {
		Create *struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		} `json:"create"`
	}

	if err := json.Unmarshal(action, &what); err != nil || what.Create == nil {
		return item, fmt.Errorf("the action is %s", action)
	}

	var document map[string]json.RawMessage
	if err := json.Unmarshal(source, &document); err != nil {
		return item, fmt.Errorf("a document is not an object: %w", err)
	}

	var at string
	if err := json.Unmarshal(document["@timestamp"], &at); err != nil {
		return item, errors.New("a document has no @timestamp")
	}

	if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
		return item, fmt.Errorf("@timestamp is %q", at)
	}

	item.Create.Index, item.Create.ID = what.Create.Index, what.Create.ID
	item.Create.Status = b.keep(what.Create.Index, what.Create.ID, source)

	if item.Create.Status != http.StatusCreated {
		item.Create.Error = map[string]string{"type": http.StatusText(item.Create.Status)}
	}

	return item, nil
}

// keep keeps a document, and returns its status.
func (b *Bulk) keep(index, id string, source []byte) int {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.number++

	switch {
	case index != b.cfg.Index:
		b.faults = append(b.faults, fmt.Sprintf("the index is %q", index))
		return http.StatusForbidden
	case id != "" && b.ids[id]:
		b.conflicts++
		return http.StatusConflict
	case b.cfg.BusyEvery > 0 && b.number%b.cfg.BusyEvery == 0:
		return http.StatusTooManyRequests
	}

	b.ids[id] = true
	b.documents = append(b.documents, BulkDocument{ID: id, Source: bytes.Clone(source)})

	return http.StatusCreated
}
