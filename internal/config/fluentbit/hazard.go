package fluentbit

import (
	"fmt"
	"strings"

	"fluent-bit-defender/internal/config/plain"
)

// Hazard is a setting with which Fluent Bit loses records that it has accepted. The
// plugin cannot see these settings: Fluent Bit does not pass such keys on.
type Hazard struct {
	Key             string
	File            string
	Line            int
	Problem, Remedy string
	// Sure says that records will be lost. Otherwise they may be, or some are dropped
	// on purpose.
	Sure bool
}

// Hazards returns the settings that endanger the records of an input of this
// configuration.
func (f *File) Hazards(sec Section) []Hazard {
	all := f.storageHazards(sec)
	if v := sec.Get("routable"); isOff(v) {
		all = append(all, sec.hazard("routable", "is off: Fluent Bit throws every record of this input away",
			"remove the key Routable"))
	}

	for _, p := range sec.Processors {
		if h, ok := p.ProcessorHazard(); ok {
			all = append(all, h)
		}
	}

	return all
}

func (s Section) hazard(key, problem, remedy string) Hazard {
	file, line := s.Where(key)

	return Hazard{
		Key:     key,
		File:    file,
		Line:    line,
		Problem: problem,
		Remedy:  remedy,
		Sure:    true,
	}
}

// StorageType returns where an input keeps its records. The section itself says so, or
// inherits it from the service section (storage.inherit, since Fluent Bit 4.2).
func (f *File) StorageType(sec Section) string {
	if v := strings.ToLower(sec.Get("storage.type")); v != "" {
		return v
	}

	service := f.Service()
	if v := strings.ToLower(service.Get("storage.type")); v == "filesystem" || v == "memrb" {
		if isOn(service.Get("storage.inherit")) {
			return v
		}
	}

	return "memory"
}

func (f *File) storageHazards(sec Section) []Hazard {
	const remedy = "write in the section of the input: storage.type filesystem"

	switch v := f.StorageType(sec); v {
	case "filesystem":
		return nil
	case "memory":
		return []Hazard{sec.hazard("storage.type", "is memory: what waits for the SIEM is lost when Fluent Bit ends",
			remedy)}
	case "memrb":
		return []Hazard{sec.hazard("storage.type", "is memrb, which drops the oldest records when its memory is full",
			remedy)}
	default:
		return []Hazard{
			sec.hazard("storage.type", "is "+plain.Quoted(v)+", and Fluent Bit refuses to start with that",
				remedy),
		}
	}
}

// ProcessorHazard returns how a processor may lose records. Fluent Bit has accepted
// them by then, and reports the loss to nobody.
func (s Section) ProcessorHazard() (Hazard, bool) {
	name := strings.ToLower(s.Get("name"))
	h := s.hazard("name", "", "remove the processor, or do this in the SIEM")
	h.Key = "processors"

	switch name {
	case "content_modifier":
		action := strings.ToLower(s.Get("action"))
		if action != "extract" && action != "convert" && action != "hash" {
			return h, false
		}

		h.Sure = action != "hash"

		h.Problem = fmt.Sprintf("content_modifier with the action %s fails on an alert that lacks the key %s or has "+
			"something else there, and Fluent Bit then drops the alerts after it", action, plain.Quoted(s.Get("key")))
		if action == "hash" {
			h.Problem = "content_modifier with the action hash fails on a value that cannot be hashed, and Fluent " +
				"Bit then drops the alerts after it"
		}

		h.Remedy = "remove the processor; a filter, such as parser or lua, keeps the alerts that it cannot change"
	case "sql":
		h.Problem = "sql drops the alerts that its query does not select"
	case "sampling":
		h.Problem = "sampling drops alerts: that is what it is for"
	case "tda", "opentelemetry_envelope", "labels", "metrics_selector", "cumulative_to_delta", "template":
		return h, false
	default:
		problem, known := droppingFilters[name]
		if !known {
			return h, false
		}

		h.Problem, h.Sure = problem, name != "grep" && name != "lua"
	}

	return h, true
}

// FilterHazard returns how a filter may lose records.
func (s Section) FilterHazard() (Hazard, bool) {
	name := strings.ToLower(s.Get("name"))
	problem, known := droppingFilters[name]
	h := s.hazard("name", problem, "remove the filter, or do this in the SIEM")
	h.Sure = name == "throttle" || name == "throttle_size"

	switch name {
	case "parser":
		if isOn(s.Get("reserve_data")) {
			return h, false
		}

		h.Remedy = "write in the filter: Reserve_Data On"
	case "log_to_metrics":
		if !isOn(s.Get("discard_logs")) {
			return h, false
		}

		h.Sure = true
	}

	return h, known
}

// droppingFilters are the filters that drop records; as processors they have the same
// names.
var droppingFilters = map[string]string{
	"grep":           "grep drops the alerts that its rules exclude; they never reach the SIEM",
	"throttle":       "throttle drops what is above its rate: a burst of alerts is lost",
	"throttle_size":  "throttle_size drops what is above its rate: a burst of alerts is lost",
	"lua":            "lua drops an alert for which its script returns -1, and the script may fail",
	"wasm":           "wasm drops an alert for which its program returns nothing",
	"multiline":      "multiline keeps alerts in memory for a moment, and may join two of them",
	"parser":         "parser without Reserve_Data replaces the alert by what it has parsed",
	"log_to_metrics": "log_to_metrics with discard_logs throws the alerts away",
}

// isOn and isOff read a boolean as flb_utils_bool does.
func isOn(v string) bool {
	switch strings.ToLower(v) {
	case "on", "true", "yes":
		return true
	}

	return false
}

func isOff(v string) bool {
	switch strings.ToLower(v) {
	case "off", "false", "no":
		return true
	}

	return false
}
