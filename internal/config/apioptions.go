package config

import (
	"fmt"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
)

// What the table of options says about single APIs is made from the APIs' descriptors
// and the table of hosts, so that a new API needs no change here.

// apisWith returns the names of the APIs that have a property.
func apisWith(property func(*alert.Descriptor) bool) []string {
	var names []string

	for _, api := range alert.APIs() {
		if facts, err := api.Descriptor(); err == nil && property(facts) {
			names = append(names, string(api))
		}
	}

	return names
}

// hasPages reports whether the key `page_size` is for an API.
func hasPages(facts *alert.Descriptor) bool { return facts.MaxPage > 0 }

// hasRegions reports whether the key `region` is for an API, in some cloud.
func hasRegions(facts *alert.Descriptor) bool { return len(regionsOf(facts.API)) > 0 }

// takesExpression reports whether the key `filter` of an API is an OData expression.
func takesExpression(facts *alert.Descriptor) bool { return facts.FilterParameters == nil }

// regionsOf returns the values of the key `region` that an API has in any cloud.
func regionsOf(api alert.API) []string {
	var names []string

	for _, c := range cloud.Clouds() {
		for _, name := range cloud.Regions(c, api) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}

	return names
}

// regionNames returns all values of the key `region`.
func regionNames() []string {
	var names []string

	for _, api := range alert.APIs() {
		for _, name := range regionsOf(api) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}

	return names
}

// regionHelp returns the meaning of the key `region`.
func regionHelp() string {
	var parts []string

	for _, name := range apisWith(hasRegions) {
		need := "optional: a host near the data"
		if cloud.NeedsRegion(cloud.Commercial, alert.API(name)) {
			need = "required in the commercial cloud, unless `api_url` is set"
		}

		parts = append(parts, fmt.Sprintf("%s for `%s` (%s)", quotedList(regionsOf(alert.API(name))), name, need))
	}

	return strings.Join(parts, "; ") + ". An error elsewhere."
}

// filterHelp returns the meaning of the key `filter`.
func filterHelp() string {
	parts := []string{quotedList(apisWith(takesExpression)) + ": extra OData, sent as `(<window>) and (<filter>)`."}

	for _, api := range alert.APIs() {
		if facts, err := api.Descriptor(); err == nil && !takesExpression(facts) {
			parts = append(parts, fmt.Sprintf("`%s`: a query string of %s.", api, quotedList(facts.FilterParameters)))
		}
	}

	return strings.Join(parts, " ")
}

// pageSizeHelp returns the meaning of the key `page_size`.
func pageSizeHelp() string {
	var paged, others []string

	for _, api := range alert.APIs() {
		facts, err := api.Descriptor()
		switch {
		case err != nil:
		case hasPages(facts):
			paged = append(paged, fmt.Sprintf("`%s` %d", api, facts.MaxPage))
		default:
			others = append(others, string(api))
		}
	}

	return fmt.Sprintf("Rows asked for at a time; the API's maximum if not set: %s. An error with %s.",
		strings.Join(paged, ", "), quotedList(others))
}

// quotedList returns names in Markdown's quotes, with commas between them.
func quotedList(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }
