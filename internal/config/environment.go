package config

import "strings"

// EnvironmentWarnings warns of settings in the environment of this process that are not
// safe for a program with tokens. They concern the whole process, not one input.
func EnvironmentWarnings(s Sources) []Warning {
	settings, _ := s.env("GODEBUG")
	for setting := range strings.SplitSeq(settings, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(setting), "=")
		if name == "http2debug" && value != "" && value != "0" {
			return []Warning{Warning(*newFault(
				Place{Key: "GODEBUG"},
				"has http2debug, which makes Go print the headers of requests, with their tokens",
				"remove http2debug from the environment variable GODEBUG of Fluent Bit",
			))}
		}
	}

	return nil
}
