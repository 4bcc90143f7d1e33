// Package tick has the times of Microsoft's security APIs, in steps of 100 nanoseconds.
//
// The APIs print update times with zero to seven fraction digits and without trailing
// zeros, so the texts do not sort by time: "…50Z" sorts after "…50.1Z". A Tick is the
// same time as a number. It is compared, stored and hashed instead of the text.
package tick

import (
	"errors"
	"fmt"
	"time"
)

// Tick is a time in 100-nanosecond steps since 1970-01-01T00:00:00Z, the resolution of
// .NET's DateTime in which the Defender services keep their times. Zero means "no
// time": no alert is as old as that.
type Tick int64

// Steps in common spans of time, for arithmetic on ticks.
const (
	Millisecond Tick = 10_000
	Second      Tick = 1000 * Millisecond
	Minute      Tick = 60 * Second
)

// ErrSyntax is returned for a text that is not a time in one of the forms that Parse
// accepts.
var ErrSyntax = errors.New("not an ISO 8601 time")

// FromTime converts a time.Time, cutting off what is finer than 100 ns. The zero
// time.Time becomes 0.
func FromTime(t time.Time) Tick {
	if t.IsZero() {
		return 0
	}

	return Tick(t.Unix())*Second + Tick(t.Nanosecond()/100)
}

// FromDuration converts a span of time, cutting off what is finer than 100 ns.
func FromDuration(d time.Duration) Tick { return Tick(d / 100) }

// Time converts back, in UTC. 0 becomes the zero time.Time.
func (t Tick) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}

	sec, sub := t.split()

	return time.Unix(sec, sub*100).UTC()
}

// Duration returns t as a time.Duration, for a t that is the difference of two ticks.
func (t Tick) Duration() time.Duration { return time.Duration(t) * 100 }

// split returns whole seconds since 1970 and the ticks that remain, which are never
// negative.
func (t Tick) split() (sec, sub int64) {
	sec, sub = int64(t/Second), int64(t%Second)
	if sub < 0 {
		sec, sub = sec-1, sub+int64(Second)
	}

	return sec, sub
}

// Text returns t as the OData services accept it in a filter: RFC 3339 in UTC with seven
// fraction digits and a "Z".
func (t Tick) Text() string {
	sec, sub := t.split()
	return time.Unix(sec, sub*100).UTC().Format("2006-01-02T15:04:05.0000000Z")
}

// String returns the same as Text, but "never" for 0.
func (t Tick) String() string {
	if t == 0 {
		return "never"
	}

	return t.Text()
}

// Parse reads a time as the services print it: "2006-01-02T15:04:05" or with a space
// for the T, zero to nine fraction digits (digits beyond the seventh are cut off), then
// "Z", "+hh:mm", "-hh:mm" or nothing, which means UTC: some services omit the zone. It
// does not allocate unless it fails.
func Parse[T string | []byte](s T) (Tick, error) {
	if t, ok := parse(s); ok {
		return t, nil
	}

	if len(s) > 40 {
		s = s[:40]
	}

	return 0, fmt.Errorf("%w: %q", ErrSyntax, string(s))
}

// parse is Parse, but returns false instead of an error.
func parse[T string | []byte](s T) (Tick, bool) {
	if len(s) < secondsEnd || !separated(s) {
		return 0, false
	}

	sec, ok := seconds(s)
	if !ok {
		return 0, false
	}

	sub, n, ok := fraction(s[secondsEnd:])
	if !ok {
		return 0, false
	}

	offset, ok := zone(s[secondsEnd+n:])
	if !ok {
		return 0, false
	}

	return Tick(sec-offset)*Second + sub, true
}

// secondsEnd is the length of a time up to its seconds: "2006-01-02T15:04:05".
const secondsEnd = 19

// separated reports whether the separators up to the seconds are in their places.
func separated[T string | []byte](s T) bool {
	return s[4] == '-' && s[7] == '-' &&
		(s[10] == 'T' || s[10] == 't' || s[10] == ' ') &&
		s[13] == ':' && s[16] == ':'
}

// seconds reads the date and the time of day up to the seconds. It returns them in
// seconds since 1970, as if they were in UTC.
func seconds[T string | []byte](s T) (int64, bool) {
	var f [6]int // year, month, day, hour, minute, second

	for i, at := range [6][2]int{{0, 4}, {5, 7}, {8, 10}, {11, 13}, {14, 16}, {17, 19}} {
		n, ok := number(s[at[0]:at[1]])
		if !ok {
			return 0, false
		}

		f[i] = n
	}

	year, month, day, hour, minute, second := f[0], f[1], f[2], f[3], f[4], f[5]

	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}

	if hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}

	return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Unix(), true
}

// fraction reads the digits after the seconds: "." and one to nine digits, or nothing. It
// returns their value and the length of what it has read.
func fraction[T string | []byte](s T) (sub Tick, n int, ok bool) {
	if len(s) == 0 || s[0] != '.' {
		return 0, 0, true
	}

	unit := Second / 10
	for n = 1; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
		sub += Tick(s[n]-'0') * unit
		unit /= 10
	}

	return sub, n, n > 1 && n <= 10
}

// zone reads the zone, which ends a time, and returns its offset from UTC in seconds.
func zone[T string | []byte](s T) (int64, bool) {
	switch {
	case len(s) == 0, len(s) == 1 && (s[0] == 'Z' || s[0] == 'z'):
		return 0, true
	case len(s) == 6 && (s[0] == '+' || s[0] == '-') && s[3] == ':':
		h, ok1 := number(s[1:3])

		m, ok2 := number(s[4:6])
		if !ok1 || !ok2 || h > 23 || m > 59 {
			return 0, false
		}

		offset := int64(h*3600 + m*60)
		if s[0] == '-' {
			offset = -offset
		}

		return offset, true
	}

	return 0, false
}

// number reads a decimal number of digits only.
func number[T string | []byte](s T) (int, bool) {
	n := 0

	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}

		n = n*10 + int(s[i]-'0')
	}

	return n, true
}

// daysIn returns the number of days of a month in the Gregorian calendar.
func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}

		return 28
	}

	return 31
}
