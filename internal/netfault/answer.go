package netfault

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// longestWait bounds what is believed of Retry-After; who waits has a shorter limit of its own.
const longestWait = 24 * time.Hour

// RetryAfter reads the header in both forms of RFC 9110 section 10.2.3, seconds or a date; ok is false when it is absent, unreadable, or
// asks for no time at all. A date counts from the answer's own Date, so that a wrong clock here does not matter. now is our clock.
func RetryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if strings.Trim(v, "0123456789") == "" {
		seconds, err := strconv.ParseInt(v, 10, 32)
		if err != nil {
			return longestWait, true // out of range
		}
		wait = min(time.Duration(seconds)*time.Second, longestWait)
		return wait, wait > 0
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	wait = at.Sub(now)
	if server, err := http.ParseTime(h.Get("Date")); err == nil && at.Sub(server).Abs() <= longestWait {
		wait = at.Sub(server) // else the Date is wrong: nobody asks to wait for years
	}
	wait = min(max(0, wait), longestWait)
	return wait, wait > 0
}

// Shares tells whether a text holds a piece of a secret, 12 characters or more (a shorter secret: all of it), in any case, as it is or as a form
// spells it.
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

// Host prints where an address leads, as far as that is a plausible name: it comes from a stranger and goes into a log.
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
