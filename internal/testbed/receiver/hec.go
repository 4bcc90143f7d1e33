package receiver

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// DefaultMaxContentLength is the default of max_content_length in Splunk 8 and later, in
// bytes (limits.conf, section http_input). Older versions have 1,000,000.
const DefaultMaxContentLength = 838_860_800

// HECToken is what inputs.conf says about one token of the collector.
type HECToken struct {
	// Indexes are the indexes that the token may write to. Empty means any.
	Indexes []string
	// Index is the index of an event that names none. Empty means main.
	Index string
	// Disabled makes the collector refuse the token with code 1.
	Disabled bool
	// Ack is useACK: each request must name its channel.
	Ack bool
}

// HECConfig describes a collector.
type HECConfig struct {
	// Tokens has the settings of each token, by the token's value, a GUID.
	Tokens map[string]HECToken
	// MaxContentLength bounds the body as it is sent and as it is unpacked; 0 means
	// DefaultMaxContentLength.
	MaxContentLength int64
	// TLS is the server's; nil means plain HTTP.
	TLS *tls.Config
	// BusyEvery makes it answer 503 to every n-th request and keep nothing of it. 0 means
	// never.
	BusyEvery int
	// LoseAnswerEvery makes it keep the events of every n-th request and break the
	// connection instead of answering. 0 means never.
	LoseAnswerEvery int
}

// HEC is a running collector.
type HEC struct {
	listening
	cfg HECConfig

	mu       sync.Mutex
	requests int
	largest  int
	down     bool
	events   []HECEvent
	status   map[int]int
}

// StartHEC starts a collector on a free port of 127.0.0.1.
func StartHEC(cfg HECConfig) (*HEC, error) {
	if cfg.MaxContentLength == 0 {
		cfg.MaxContentLength = DefaultMaxContentLength
	}

	h := &HEC{cfg: cfg, status: map[int]int{}}

	var err error
	if h.listening, err = listen(h, cfg.TLS); err != nil {
		return nil, err
	}

	return h, nil
}

// SetDown makes the collector answer 503 to every request until SetDown(false).
func (h *HEC) SetDown(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.down = down
}

// Events returns the events that were accepted so far, in order.
func (h *HEC) Events() []HECEvent {
	h.mu.Lock()
	defer h.mu.Unlock()

	return slices.Clone(h.events)
}

// Largest returns the length in bytes of the longest body so far, decompressed.
func (h *HEC) Largest() int {
	h.mu.Lock()
	defer h.mu.Unlock()

	return h.largest
}

// Status returns how many answers had each HTTP status. Status 0 counts the requests that
// LoseAnswerEvery left without an answer.
func (h *HEC) Status() map[int]int {
	h.mu.Lock()
	defer h.mu.Unlock()

	return maps.Clone(h.status)
}

// answer is one row of Splunk's table of codes.
type answer struct {
	status, code int
	text         string
}

var (
	hecSuccess      = answer{200, 0, "Success"}
	hecDisabled     = answer{403, 1, "Token disabled"}
	hecTokenMissing = answer{401, 2, "Token is required"}
	hecAuthInvalid  = answer{401, 3, "Invalid authorization"}
	hecTokenInvalid = answer{403, 4, "Invalid token"}
	hecNoData       = answer{400, 5, "No data"}
	hecBadFormat    = answer{400, 6, "Invalid data format"}
	hecBadIndex     = answer{400, 7, "Incorrect index"}
	hecBusy         = answer{503, 9, "Server is busy"}
	hecNoChannel    = answer{400, 10, "Data channel is missing"}
	hecBadChannel   = answer{400, 11, "Invalid data channel"}
	hecNoEvent      = answer{400, 12, "Event field is required"}
	hecBlankEvent   = answer{400, 13, "Event field cannot be blank"}
	hecBadFields    = answer{400, 15, "Error in handling indexed fields"}
	hecTooLarge     = answer{413, 27, "Request entity too large"}
)

// ServeHTTP answers one request.
func (h *HEC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.routed(w, r) {
		return
	}

	n, busy := h.next()
	if busy {
		_, _ = io.Copy(io.Discard, r.Body) // the answer does not depend on the body

		h.answer(w, hecBusy, -1)

		return
	}

	bad, refusal := h.accept(r)
	if refusal != hecSuccess {
		h.answer(w, refusal, bad)
		return
	}

	if h.cfg.LoseAnswerEvery > 0 && n%h.cfg.LoseAnswerEvery == 0 {
		h.count(0)
		panic(http.ErrAbortHandler)
	}

	h.answer(w, hecSuccess, -1)
}

// routed reports whether the request is for the collector, and answers it if not.
func (h *HEC) routed(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/services/collector/event" && r.URL.Path != "/services/collector" {
		http.Error(w, `{"text":"The requested URL was not found on this server.","code":404}`, http.StatusNotFound)
		h.count(http.StatusNotFound)

		return false
	}

	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, `{"text":"Method Not Allowed"}`, http.StatusMethodNotAllowed)
		h.count(http.StatusMethodNotAllowed)

		return false
	}

	return true
}

// next numbers a request, from 1, and reports whether the collector is too busy for it.
func (h *HEC) next() (n int, busy bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.requests++

	return h.requests, h.down || h.cfg.BusyEvery > 0 && h.requests%h.cfg.BusyEvery == 0
}

// accept keeps the events of a request up to the first bad one, as Splunk does. Where an
// event is bad it returns the event's number, else -1.
func (h *HEC) accept(r *http.Request) (bad int, refusal answer) {
	body, refusal := h.body(r)
	if refusal != hecSuccess {
		return -1, refusal
	}

	h.mu.Lock()
	h.largest = max(h.largest, len(body))
	h.mu.Unlock()

	token, settings, refusal := h.authorise(r)
	if refusal != hecSuccess {
		return -1, refusal
	}

	events, refusal := readEvents(body, token, settings)

	h.mu.Lock()
	h.events = append(h.events, events...)
	h.mu.Unlock()

	if refusal == hecSuccess || refusal == hecNoData {
		return -1, refusal
	}

	return len(events), refusal
}

func (h *HEC) count(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.status[status]++
}

// answer writes an answer. bad is the number of the event at fault, or negative.
func (h *HEC) answer(w http.ResponseWriter, a answer, bad int) {
	h.count(a.status)

	body := map[string]any{"text": a.text, "code": a.code}
	if bad >= 0 {
		body["invalid-event-number"] = bad
	}

	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}

	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(a.status)
	_, _ = w.Write(text) // a client that has gone hears nothing
}

// body returns the body of a request, decompressed.
func (h *HEC) body(r *http.Request) ([]byte, answer) {
	sent, err := io.ReadAll(io.LimitReader(r.Body, h.cfg.MaxContentLength+1))
	if err != nil {
		return nil, hecBadFormat
	}

	if int64(len(sent)) > h.cfg.MaxContentLength {
		return nil, hecTooLarge
	}

	switch r.Header.Get("Content-Encoding") {
	case "":
		return sent, hecSuccess
	case "gzip":
	default:
		return nil, hecBadFormat
	}

	z, err := gzip.NewReader(bytes.NewReader(sent))
	if err != nil {
		return nil, hecBadFormat
	}

	plain, err := io.ReadAll(io.LimitReader(z, h.cfg.MaxContentLength+1))
	switch {
	case err != nil:
		return nil, hecBadFormat
	case int64(len(plain)) > h.cfg.MaxContentLength:
		return nil, hecTooLarge
	}

	return plain, hecSuccess
}

var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// authorise returns the token of a request and its settings. It checks the channel where
// the token asks for one.
func (h *HEC) authorise(r *http.Request) (string, HECToken, answer) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", HECToken{}, hecTokenMissing
	}

	token, ok := strings.CutPrefix(header, "Splunk ")
	if !ok || token == "" || strings.Contains(token, " ") {
		return "", HECToken{}, hecAuthInvalid
	}

	settings, known := h.cfg.Tokens[token]
	switch channel := r.Header.Get("X-Splunk-Request-Channel"); {
	case !known:
		return "", HECToken{}, hecTokenInvalid
	case settings.Disabled:
		return "", HECToken{}, hecDisabled
	case settings.Ack && channel == "":
		return "", HECToken{}, hecNoChannel
	case channel != "" && !guid.MatchString(channel):
		return "", HECToken{}, hecBadChannel
	}

	return token, settings, hecSuccess
}
