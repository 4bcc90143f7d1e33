package netfault

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// longestWait bounds what is believed of Retry-After; who waits has a shorter limit of
// its own.
const longestWait = 24 * time.Hour

// RetryAfter reads the header in both forms of RFC 9110 section 10.2.3, seconds or a
// date. ok is false when it is absent, cannot be read, or asks for no time at all.
// Fractions of seconds, which some gateways send, are rounded up. Of several values the
// longest counts. A date counts from the answer's own Date, so that a wrong clock here
// does not matter. now is our clock.
func RetryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	server, known := httpDate(h.Get("Date"))
	for _, value := range h.Values("Retry-After") {
		at, isDate := httpDate(value)
		switch {
		case isDate && known && at.Sub(server).Abs() <= longestWait:
			wait = max(wait, at.Sub(server))
		case isDate: // the Date is missing or wrong: nobody asks to wait for years
			wait = max(wait, at.Sub(now))
		}

		// Somebody on the way may have joined several headers; a date holds a comma, too.
		for part := range strings.SplitSeq(value, ",") {
			wait = max(wait, secondsOf(part))
		}
	}

	wait = min(wait, longestWait)

	return wait, wait > 0
}

// secondsOf reads a number of seconds in decimal digits, with a fraction or without, 0
// if it is anything else. The result is a whole number of seconds.
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
		return longestWait // out of range: digits they are
	}

	if strings.Trim(fraction, "0") != "" {
		seconds++
	}

	return min(time.Duration(seconds)*time.Second, longestWait)
}

// dateForms are the three forms of RFC 9110 section 5.6.7, and what servers write
// instead.
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

// httpDate reads a date. A zone other than UTC has to be given as a number: the meaning
// of its name depends on where we are.
func httpDate(value string) (time.Time, bool) {
	value = strings.TrimSpace(value)
	for _, form := range dateForms {
		at, err := time.Parse(form, value)
		if err != nil {
			continue
		}

		if name, offset := at.Zone(); offset != 0 && strings.Contains(form, "MST") || !utc(name) && offset == 0 {
			continue
		}

		return at, true
	}

	return time.Time{}, false
}

// utc reports whether a zone is one that has no offset.
func utc(name string) bool {
	return name == "" || name == "GMT" || name == "UTC" || name == "UT" || name == "Z"
}

// Shares tells whether a text holds a piece of a secret, 12 characters or more (a
// shorter secret: all of it), in any case, as it is or as a form spells it.
func Shares(text, secret string) bool {
	const piece, shortest = 12, 4
	if len(secret) < shortest {
		return false // it would be found everywhere
	}

	text, secret = strings.ToLower(text), strings.ToLower(secret)
	length := min(piece, len(secret))
	spelled := strings.ToLower(url.QueryEscape(secret))

	for i := 0; i+length <= len(text); i++ {
		part := text[i : i+length]
		if strings.Contains(secret, part) || length == piece && strings.Contains(spelled, part) {
			return true
		}
	}

	return length < piece && strings.Contains(text, spelled)
}

// Host prints where an address leads, as far as that is a plausible name: it comes from
// a stranger and goes into a log.
func Host(u *url.URL) string {
	if u == nil || u.Host == "" || len(u.Host) > 100 {
		return "an address that is none"
	}

	for _, c := range u.Scheme + u.Host {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-.:[]", c) {
			return "an address that is none"
		}
	}

	return u.Scheme + "://" + u.Host
}
