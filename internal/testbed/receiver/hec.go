package receiver

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// DefaultMaxContentLength is max_content_length of limits.conf, [http_input], in Splunk
// 8 and later; older ones had 1,000,000.
const DefaultMaxContentLength = 838_860_800

// HECToken is a token of the collector as inputs.conf describes one.
type HECToken struct {
	// Indexes are those that the token may write to; none: any.
	Indexes []string
	// Index is where events go that name none; main if empty.
	Index string
	// Disabled tokens are refused with code 1.
	Disabled bool
	// Ack is useACK: each request must name its channel.
	Ack bool
}

// HECConfig describes a collector.
type HECConfig struct {
	// Tokens are the tokens by their value, a GUID.
	Tokens map[string]HECToken
	// MaxContentLength bounds the body as it is sent and as it is unpacked; 0 means
	// DefaultMaxContentLength.
	MaxContentLength int64
	// TLS is the server's; nil means plain HTTP.
	TLS *tls.Config
	// BusyEvery answers 503 to every n-th request and takes nothing of it; 0: never.
	BusyEvery int
	// LoseAnswerEvery takes every n-th request in and breaks the connection instead of
	// answering; 0: never.
	LoseAnswerEvery int
}

// HECEvent is an event as the collector took it in.
type HECEvent struct {
	// Token is the one it came with; Index that of the event, or the token's.
	Token, Index string
	// Host, Source and Sourcetype are empty where the event has none.
	Host, Source, Sourcetype string
	// Time is in seconds since 1970, as it was written; empty: the collector's own.
	Time string
	// Fields are the indexed fields, texts as they are and other values in JSON.
	Fields map[string]string
	// Event is the event itself, a JSON value.
	Event json.RawMessage
}

// HEC is a running collector.
type HEC struct {
	cfg      HECConfig
	server   *http.Server
	listener net.Listener

	mu       sync.Mutex
	requests int
	largest  int
	down     bool
	events   []HECEvent
	status   map[int]int
}

// StartHEC starts a collector on a free port of 127.0.0.1.
func StartHEC(cfg HECConfig) (*HEC, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}

	if cfg.MaxContentLength == 0 {
		cfg.MaxContentLength = DefaultMaxContentLength
	}

	h := &HEC{cfg: cfg, listener: l, status: map[int]int{}}
	h.server = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}

	if cfg.TLS != nil {
		l = tls.NewListener(l, cfg.TLS)
	}

	go func() { _ = h.server.Serve(l) }() // ends with Close

	return h, nil
}

// Port is the TCP port it listens on.
func (h *HEC) Port() int { return h.listener.Addr().(*net.TCPAddr).Port }

// Close stops it and breaks its connections.
func (h *HEC) Close() error { return h.server.Close() }

// SetDown makes it answer 503 to everything, or no longer.
func (h *HEC) SetDown(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.down = down
}

// Events are the events taken in so far, in order.
func (h *HEC) Events() []HECEvent {
	h.mu.Lock()
	defer h.mu.Unlock()

	return slices.Clone(h.events)
}

// Largest is the length of the longest body so far, unpacked.
func (h *HEC) Largest() int {
	h.mu.Lock()
	defer h.mu.Unlock()

	return h.largest
}

// Status counts the answers by HTTP status; 0 are those that were not given.
func (h *HEC) Status() map[int]int {
	h.mu.Lock()
	defer h.mu.Unlock()

	return maps.Clone(h.status)
}

// An answer is one row of Splunk's table of codes.
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
	if r.URL.Path != "/services/collector/event" && r.URL.Path != "/services/collector" {
		http.Error(w, `{"text":"The requested URL was not found on this server.","code":404}`, http.StatusNotFound)
		h.count(http.StatusNotFound)

		return
	}

	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, `{"text":"Method Not Allowed"}`, http.StatusMethodNotAllowed)
		h.count(http.StatusMethodNotAllowed)

		return
	}

	h.mu.Lock()
	h.requests++
	n, busy := h.requests, h.down
	h.mu.Unlock()

	if busy || h.cfg.BusyEvery > 0 && n%h.cfg.BusyEvery == 0 {
		_, _ = io.Copy(io.Discard, r.Body)

		h.answer(w, hecBusy, -1)

		return
	}

	body, refusal := h.body(r)
	if refusal != hecSuccess {
		h.answer(w, refusal, -1)
		return
	}

	h.mu.Lock()
	h.largest = max(h.largest, len(body))
	h.mu.Unlock()

	token, settings, refusal := h.authorise(r)
	if refusal != hecSuccess {
		h.answer(w, refusal, -1)
		return
	}

	events, refusal := readEvents(body, token, settings)
	// As at Splunk, what stood before a bad event is kept.
	h.mu.Lock()
	h.events = append(h.events, events...)
	h.mu.Unlock()

	switch refusal {
	case hecSuccess:
	case hecNoData:
		h.answer(w, refusal, -1)
		return
	default:
		h.answer(w, refusal, len(events))
		return
	}

	if h.cfg.LoseAnswerEvery > 0 && n%h.cfg.LoseAnswerEvery == 0 {
		h.count(0)
		panic(http.ErrAbortHandler)
	}

	h.answer(w, hecSuccess, -1)
}

func (h *HEC) count(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.status[status]++
}

// answer writes an answer; bad is the number of the event at fault, or negative.
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

// authorise finds the token of a request, and its channel where there must be one.
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

// readEvents reads JSON objects one after the other, with or without white space
// between them.
func readEvents(body []byte, token string, settings HECToken) (events []HECEvent, refusal answer) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, hecNoData
	}

	if !utf8.Valid(body) {
		return nil, hecBadFormat
	}

	for dec := json.NewDecoder(bytes.NewReader(body)); ; {
		var envelope map[string]json.RawMessage
		switch err := dec.Decode(&envelope); {
		case errors.Is(err, io.EOF):
			return events, hecSuccess
		case err != nil || envelope == nil:
			return events, hecBadFormat
		}

		e, refusal := readEvent(envelope, settings)
		if refusal != hecSuccess {
			return events, refusal
		}

		e.Token = token
		events = append(events, e)
	}
}

func readEvent(envelope map[string]json.RawMessage, settings HECToken) (HECEvent, answer) {
	e := HECEvent{Index: settings.Index, Event: envelope["event"]}
	for key, raw := range envelope {
		var to *string

		switch key {
		case "event":
			continue
		case "fields":
			fields, ok := readFields(raw)
			if !ok {
				return e, hecBadFields
			}

			e.Fields = fields

			continue
		case "time":
			text := strings.Trim(string(raw), `"`)
			if seconds, err := strconv.ParseFloat(text, 64); err != nil || seconds < 0 {
				return e, hecBadFormat
			}

			e.Time = text

			continue
		case "host":
			to = &e.Host
		case "source":
			to = &e.Source
		case "sourcetype":
			to = &e.Sourcetype
		case "index":
			to = &e.Index
		default:
			return e, hecBadFormat // Splunk passes over it; here it is a mistake of the sender
		}

		if json.Unmarshal(raw, to) != nil {
			return e, hecBadFormat
		}
	}

	switch event := strings.TrimSpace(string(e.Event)); event {
	case "", "null":
		return e, hecNoEvent
	case `""`:
		return e, hecBlankEvent
	}

	if e.Index == "" {
		e.Index = "main"
	}

	if len(settings.Indexes) > 0 && !slices.Contains(settings.Indexes, e.Index) {
		return e, hecBadIndex
	}

	return e, hecSuccess
}

// readFields reads indexed fields: a flat object of texts, numbers, truth values, and
// lists of texts.
func readFields(raw json.RawMessage) (map[string]string, bool) {
	var object map[string]any
	if json.Unmarshal(raw, &object) != nil || object == nil {
		return nil, false
	}

	fields := make(map[string]string, len(object))
	for key, value := range object {
		switch v := value.(type) {
		case string:
			fields[key] = v
		case float64, bool:
			fields[key] = fmt.Sprint(v)
		case []any:
			for _, item := range v {
				if _, ok := item.(string); !ok {
					return nil, false
				}
			}

			fields[key] = fmt.Sprint(v)
		default:
			return nil, false
		}
	}

	return fields, true
}
