package fluentbit

import (
	"regexp"
	"strings"
)

// Matches reports whether an output or filter takes records with a tag: by Match, or by
// Match_Regex, which Fluent Bit compares from the beginning of the tag on. An
// expression that Go does not understand counts as a match.
func (s Section) Matches(tag string) bool {
	if pattern := s.Get("match"); pattern != "" && matches(pattern, tag) {
		return true
	}

	expr := s.Get("match_regex")
	if expr == "" {
		return false
	}

	regex, err := regexp.Compile("^(?:" + strings.Trim(expr, "/") + ")")

	return err != nil || regex.FindString(tag) != ""
}

// matches reports whether a tag matches a pattern, in which * stands for any text
// (flb_router_match).
func matches(pattern, tag string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == tag
	}

	if !strings.HasPrefix(tag, parts[0]) {
		return false
	}

	rest := tag[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}

		rest = rest[i+len(p):]
	}

	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// Reached reports whether records of an input with a tag get to an output. If a filter
// or a route gives them other tags, this is not known, and Reached returns true.
func (f *File) Reached(sec Section, tag string) bool {
	if len(sec.Routes) > 0 {
		return true
	}

	for _, s := range f.Of("filter") {
		if strings.EqualFold(s.Get("name"), "rewrite_tag") && s.Matches(tag) {
			return true
		}
	}

	for _, s := range f.Of("output") {
		if s.Matches(tag) {
			return true
		}
	}

	return false
}
