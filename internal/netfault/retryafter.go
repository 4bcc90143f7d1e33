package netfault

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestWait bounds what RetryAfter returns. Callers have shorter limits of their own.
const longestWait = 24 * time.Hour

// RetryAfter returns how long the header Retry-After asks to wait, in both forms of RFC
// 9110 section 10.2.3: seconds or a date. ok is false when it is absent, cannot be
// read, or asks for no time at all. Fractions of seconds, which some gateways send, are
// rounded up. The longest of several values counts. A date is compared with the
// answer's own Date, so that a wrong clock here does not matter. now is our clock.
func RetryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	server, known := httpDate(h.Get("Date"))
	for _, value := range h.Values("Retry-After") {
		at, isDate := httpDate(value)
		switch {
		case isDate && known && at.Sub(server).Abs() <= longestWait:
			wait = max(wait, at.Sub(server))
		case isDate: // the header Date is missing or wrong: no server asks to wait for years
			wait = max(wait, at.Sub(now))
		}

		// A proxy may have joined several headers with commas. A date has a comma, too.
		for part := range strings.SplitSeq(value, ",") {
			wait = max(wait, secondsOf(part))
		}
	}

	wait = min(wait, longestWait)

	return wait, wait > 0
}

// secondsOf reads a number of seconds in decimal digits, with or without a fraction. It
// rounds up to whole seconds, and returns 0 for anything else.
func secondsOf(value string) time.Duration {
	whole, fraction, _ := strings.Cut(strings.TrimSpace(value), ".")
	if whole == "" && fraction != "" {
		whole = "0"
	}

	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0
	}

	seconds, err := strconv.ParseInt(whole, 10, 32)
	if err != nil {
		return longestWait // only digits, so the number is too large
	}

	if strings.Trim(fraction, "0") != "" {
		seconds++
	}

	return min(time.Duration(seconds)*time.Second, longestWait)
}

// dateForms are the three forms of RFC 9110 section 5.6.7, and others that servers
// write.
var dateForms = []string{
	http.TimeFormat,
	time.RFC850,
	time.ANSIC,
	time.RFC1123,
	time.RFC1123Z,
	"Mon, 2 Jan 2006 15:04:05 MST",
	"Mon, 2 Jan 2006 15:04:05 -0700",
	"2 Jan 2006 15:04:05 MST",
	time.RFC3339,
}

// httpDate reads a date. A zone other than UTC must be a number: the meaning of a zone's
// name depends on where this program runs.
func httpDate(value string) (time.Time, bool) {
	value = strings.TrimSpace(value)
	for _, form := range dateForms {
		at, err := time.Parse(form, value)
		if err != nil {
			continue
		}

		// time.Parse takes any zone's name. It knows the offset of local ones only, and
		// sets that of others to 0.
		name, offset := at.Zone()

		localName := offset != 0 && strings.Contains(form, "MST")
		unknownName := offset == 0 && !utc(name)

		if !localName && !unknownName {
			return at, true
		}
	}

	return time.Time{}, false
}

// utc reports whether a zone's name means UTC.
func utc(name string) bool {
	return name == "" || name == "GMT" || name == "UTC" || name == "UT" || name == "Z"
}
