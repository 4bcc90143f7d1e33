package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// text returns the value of a string option, empty if it has none or an invalid one.
// Control characters are refused, since values reach logs, URLs and records.
func (r *reader) text(key string, most int) (string, value) {
	o, v := option(key), r.raw(key)
	if !v.set || v.text == "" {
		return "", v
	}

	switch {
	case !utf8.ValidString(v.text):
		r.refuse(o, v, "is not UTF-8", "write the value in UTF-8")
	case strings.ContainsFunc(v.text, unicode.IsControl):
		r.refuse(o, v, "has a line break or control character", "write it on one line")
	case len(v.text) > most:
		r.refuse(o, v, fmt.Sprintf("is longer than %d bytes", most), "shorten it")
	case quoted(v.text) && key != "filter":
		r.refuse(o, v, "is in quotation marks, which Fluent Bit keeps", "")
	default:
		return v.text, v
	}

	return "", v
}

const maxPath = 4096

// path returns a file option.
func (r *reader) path(key string) string {
	s, _ := r.text(key, maxPath)
	if s == "" {
		return option(key).Default
	}

	return s
}

// enum returns one of the option's values, in lower case, or the default if the value
// was refused (see refused).
func (r *reader) enum(key string) (string, value) {
	o, v := option(key), r.raw(key)
	if !v.set || v.text == "" {
		return o.Default, v
	}

	s := strings.ToLower(v.text)
	if !slices.Contains(o.Values, s) {
		remedy := oneOf(o.Values)
		if near := nearest(s, o.Values); near != "" {
			remedy = fmt.Sprintf("did you mean %s? %s", near, remedy)
		}

		r.refuse(o, v, "is unknown", remedy)

		return o.Default, v
	}

	return s, v
}

// date returns a day, which begins at midnight UTC; zero for none.
func (r *reader) date(key string) time.Time {
	o, v := option(key), r.raw(key)
	if !v.set || v.text == "" {
		return time.Time{}
	}

	day, err := time.Parse(time.DateOnly, v.text)
	if err != nil {
		r.refuse(o, v, "is not a date", "write year, month and day, such as 2027-01-31")
		return time.Time{}
	}

	return day
}

// parsed returns the parsed value of an enum, which cannot fail: enum has checked it.
func parsed[T any](v T, err error) T {
	if err != nil {
		panic("config: " + err.Error()) // a slip in the table of options, found by its test
	}

	return v
}

// refused reports whether enum has refused the value that was written.
func refused(result string, v value) bool {
	return v.bad || v.text != "" && !strings.EqualFold(result, v.text)
}

func (r *reader) duration(key string) time.Duration {
	o, v := option(key), r.raw(key)

	least, most, def := mustDuration(o.Min), mustDuration(o.Max), mustDuration(o.Default)
	if !v.set || v.text == "" {
		return def
	}

	d, err := ParseDuration(v.text)

	allowed := fmt.Sprintf("use %s to %s", FormatDuration(least), FormatDuration(most))
	if least == 0 {
		allowed = "use 0 or " + FormatDuration(leastPositive) + " to " + FormatDuration(most)
	}

	switch {
	case errors.Is(err, ErrSyntax):
		r.refuse(o, v, "is not a duration", "write it like 90s, 10m, 24h or 7d")
	case strings.HasPrefix(v.text, "-"):
		r.refuse(o, v, "is negative", allowed)
	case err != nil || d > most:
		r.refuse(o, v, "is above the maximum of "+FormatDuration(most), allowed)
	case d < least:
		r.refuse(o, v, "is below the minimum of "+FormatDuration(least), allowed)
	case d > 0 && d < leastPositive:
		r.refuse(o, v, "is below the minimum of "+FormatDuration(leastPositive), allowed)
	default:
		return d
	}

	return def
}

// leastPositive is the shortest useful duration. A shorter one has the wrong unit.
const leastPositive = 100 * time.Millisecond

// mustDuration reads a duration of the table of options.
func mustDuration(s string) time.Duration {
	d, err := ParseDuration(s)
	if err != nil {
		panic("config: " + err.Error()) // a slip in the table, found by its test
	}

	return d
}

func (r *reader) boolean(key string) bool {
	o, v := option(key), r.raw(key)

	s := v.text
	if !v.set || s == "" {
		s = o.Default
	}

	on, err := ParseBool(s)
	if err != nil {
		r.refuse(o, v, "is neither on nor off", "use on or off")
	}

	return on
}

func (r *reader) size(key string) int64 {
	o, v := option(key), r.raw(key)

	def, _ := ParseSize(o.Default)
	if !v.set || v.text == "" {
		return def
	}

	n, err := ParseSize(v.text)
	switch {
	case errors.Is(err, ErrSyntax):
		r.refuse(o, v, "is not a size", "write it like 512K, 32M or 1G")
	case strings.HasPrefix(v.text, "-"):
		r.refuse(o, v, "is negative", "write it like 512K, 32M or 1G")
	case err != nil || n > o.Most:
		r.refuse(o, v, fmt.Sprintf("is above the maximum of %d bytes", o.Most), "use a smaller value")
	case n < o.Least:
		r.refuse(o, v, fmt.Sprintf("is below the minimum of %d bytes", o.Least), "use a greater value")
	default:
		return n
	}

	return def
}

// integer returns an Int option whose bounds are in the table.
func (r *reader) integer(key string) int64 {
	o := option(key)
	def, _ := strconv.ParseInt(o.Default, 10, 64)

	return r.bounded(key, o.Least, o.Most, def)
}

func (r *reader) bounded(key string, least, most, def int64) int64 {
	o, v := option(key), r.raw(key)
	if !v.set || v.text == "" {
		return def
	}

	n, err := strconv.ParseInt(v.text, 10, 64)

	allowed := fmt.Sprintf("use %d to %d", least, most)
	switch {
	case err != nil && !isNumber(strings.TrimPrefix(v.text, "-")) || strings.Contains(v.text, "."):
		r.refuse(o, v, "is not a whole number", allowed)
	case n < least:
		r.refuse(o, v, fmt.Sprintf("is below the minimum of %d", least), allowed)
	case err != nil || n > most:
		r.refuse(o, v, fmt.Sprintf("is above the maximum of %d", most), allowed)
	default:
		return n
	}

	return def
}

// listen returns an address to listen on, host:port.
func (r *reader) listen(key string) string {
	s, v := r.text(key, 256)
	if s == "" {
		return ""
	}

	host, port, err := net.SplitHostPort(s)

	const remedy = "write it like 127.0.0.1:9180"
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || strings.ContainsAny(host, "/@ ") {
		r.refuse(option(key), v, "is not an address to listen on", remedy)
		return ""
	}

	return s
}
