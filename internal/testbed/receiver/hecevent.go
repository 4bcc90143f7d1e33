package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// HECEvent is an event that the collector accepted.
type HECEvent struct {
	// Token is the token of the request. Index is the event's own, or the token's.
	Token, Index string
	// Host, Source and Sourcetype are empty where the event has none.
	Host, Source, Sourcetype string
	// Time is in seconds since 1970, as the sender wrote it. It is empty where the
	// collector sets its own time.
	Time string
	// Fields are the indexed fields: texts as they are, other values as fmt prints them.
	Fields map[string]string
	// Event is the event itself, a JSON value.
	Event json.RawMessage
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

// readEvent reads one object of a body: the event and what is said about it.
func readEvent(envelope map[string]json.RawMessage, settings HECToken) (HECEvent, answer) {
	e := HECEvent{Index: settings.Index}
	for key, raw := range envelope {
		if refusal := e.set(key, raw); refusal != hecSuccess {
			return e, refusal
		}
	}

	switch strings.TrimSpace(string(e.Event)) {
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

// set reads the value of one key of the object around an event.
func (e *HECEvent) set(key string, raw json.RawMessage) answer {
	texts := map[string]*string{
		"host":       &e.Host,
		"source":     &e.Source,
		"sourcetype": &e.Sourcetype,
		"index":      &e.Index,
	}

	switch key {
	case "event":
		e.Event = raw
	case "fields":
		fields, ok := readFields(raw)
		if !ok {
			return hecBadFields
		}

		e.Fields = fields
	case "time":
		text := strings.Trim(string(raw), `"`)
		if seconds, err := strconv.ParseFloat(text, 64); err != nil || seconds < 0 {
			return hecBadFormat
		}

		e.Time = text
	default:
		// Splunk ignores an unknown key. Here it is a mistake of the sender.
		to, known := texts[key]
		if !known || json.Unmarshal(raw, to) != nil {
			return hecBadFormat
		}
	}

	return hecSuccess
}

// readFields reads indexed fields: a flat object of texts, numbers, booleans and lists of
// texts. It reports whether the object is one.
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
