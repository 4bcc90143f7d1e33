package alert

import (
	"fmt"
	"slices"
	"strings"
)

// API is one of the alert APIs, spelled as the key `api` has it.
type API string

// The APIs.
const (
	// Graph is Microsoft Graph security/alerts_v2: alerts of all Defender products.
	Graph API = "graph"
	// GraphIncidents is Microsoft Graph security/incidents: incidents with their alerts.
	GraphIncidents API = "graph-incidents"
	// Endpoint is the Defender for Endpoint alerts API.
	Endpoint API = "endpoint"
	// SIEM is the legacy alert exporter ("pull detections").
	SIEM API = "siem"
	// Incidents is the Defender XDR incidents API.
	Incidents API = "incidents"
)

// APIs returns the APIs in the order of the table, the default first.
func APIs() []API {
	list := make([]API, len(descriptors))
	for i := range descriptors {
		list[i] = descriptors[i].API
	}

	return list
}

// DefaultAPI returns the API that is meant where none is named.
func DefaultAPI() API { return descriptors[0].API }

// APINames returns the values of the key `api`, the default first.
func APINames() []string { return namesOf(APIs()) }

// APIHelp returns the values of the key `api` with what each means.
func APIHelp() string {
	words := make([]string, len(descriptors))
	for i := range descriptors {
		words[i] = fmt.Sprintf("`%s` (%s)", descriptors[i].API, descriptors[i].Help)
	}

	return strings.Join(words, ", ")
}

// ParseAPI reads a value of the key `api`, in any case; an empty one is the default.
// Its error is an *UnknownError.
func ParseAPI(s string) (API, error) { return parse("api", "API", s, APIs()) }

// UnknownError is the error for a value that a key does not have.
type UnknownError struct {
	Key   string // the configuration's key
	Kind  string // what the value should be, in words
	Value string
	Known []string // the values that the key has
}

// Error returns the key, the value and the known values, in one line.
func (e *UnknownError) Error() string { return e.Key + ": " + e.Problem() + "; " + e.Remedy() }

// Problem returns what is wrong, without the key.
func (e *UnknownError) Problem() string { return fmt.Sprintf("unknown %s %.64q", e.Kind, e.Value) }

// Remedy returns what to write instead.
func (e *UnknownError) Remedy() string { return "use one of " + strings.Join(e.Known, ", ") }

// parse returns the one of known that s names, in any case. If s is empty, it is the
// first of known.
func parse[T ~string](key, kind, s string, known []T) (T, error) {
	if s == "" {
		return known[0], nil
	}

	if v := T(strings.ToLower(s)); slices.Contains(known, v) {
		return v, nil
	}

	return "", &UnknownError{
		Key:   key,
		Kind:  kind,
		Value: s,
		Known: namesOf(known),
	}
}

// namesOf returns the values of a list as texts.
func namesOf[T ~string](list []T) []string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = string(v)
	}

	return names
}
