package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
)

// filter returns the key `filter`, checked as far as that is possible without the
// service.
func (r *reader) filter(api alert.API) string {
	s, v := r.text("filter", 8192)
	if s == "" {
		return ""
	}

	facts, err := api.Descriptor()
	if err != nil {
		return "" // the API's own fault is reported already
	}

	problem, remedy := odataProblem(s)
	if facts.FilterParameters != nil {
		problem, remedy = parametersProblem(s, facts)
	}

	if problem != "" {
		r.fault("filter", v, problem, remedy)
	}

	return s
}

// odataProblem finds parentheses and quotation marks that are not balanced, with which
// an expression would break out of `(<window>) and (<filter>)`. Strings are in single
// quotes, doubled inside (OData 4.01 URL conventions, section 5.1.1.14.1).
func odataProblem(s string) (problem, remedy string) {
	if strings.HasPrefix(strings.TrimLeft(s, "?&"), "$") {
		return "starts with an option name", "write only the expression, without $filter="
	}

	depth, inside := 0, false

	for _, c := range s {
		switch {
		case c == '\'':
			inside = !inside
		case inside:
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return "closes a parenthesis that it did not open", "balance the parentheses"
			}
		case c == '"':
			return "has a double quotation mark", "write strings in single quotation marks, as in severity eq 'high'"
		}
	}

	if inside {
		return "has a quotation mark that is not closed", "close it; inside a string write it twice"
	}

	if depth != 0 {
		return "opens a parenthesis that it does not close", "balance the parentheses"
	}

	return "", ""
}

// parametersProblem finds what is wrong with a query string that may set only the
// parameters that an API has for it; the others belong to the window.
func parametersProblem(s string, facts *alert.Descriptor) (problem, remedy string) {
	known := facts.FilterParameters
	form := fmt.Sprintf("with api %s write a query string of %s, such as %[3]s=A&%[3]s=B",
		facts.API, strings.Join(known, ", "), known[0])

	if strings.ContainsRune(s, '#') || strings.ContainsRune(s, ' ') {
		return "is not a query string", form
	}

	q, err := url.ParseQuery(s)
	if err != nil {
		return "is not a query string", form
	}

	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(known, name) {
			if near := nearest(name, known); near != "" {
				return "has the unknown parameter " + shown(name), "did you mean " + near + "?"
			}

			return "has the unknown parameter " + shown(name), form
		}

		if slices.Contains(q[name], "") {
			return "has no value for " + name, form
		}
	}

	return "", ""
}
