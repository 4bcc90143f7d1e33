package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Errors of ParseDuration, ParseSize and ParseBool. They wrap ErrSyntax if the text is
// not a value of that kind, and ErrRange if the value is negative or too large to be
// useful.
var (
	ErrSyntax = errors.New("not understood")
	ErrRange  = errors.New("out of range")
)

// MaxDuration is the longest duration that ParseDuration accepts: far beyond any use,
// and far from overflow.
const MaxDuration = 36500 * day

// ParseDuration reads a duration as options have it: a Go duration
// (https://pkg.go.dev/time#ParseDuration) in which the unit d stands for 24 hours, or a
// bare number of seconds.
func ParseDuration(s string) (time.Duration, error) {
	rest := strings.TrimSpace(s)
	if isNumber(strings.TrimPrefix(rest, "-")) {
		rest += "s"
	}

	switch {
	case !durationForm.MatchString(rest):
		return 0, fmt.Errorf("%w: %s is not a duration", ErrSyntax, shown(s))
	case rest[0] == '-':
		return 0, fmt.Errorf("%w: duration %s is negative", ErrRange, shown(s))
	}

	days, rest := takeDays(rest)

	var exact time.Duration

	if rest != "" {
		var err error

		exact, err = time.ParseDuration(rest)
		if err != nil {
			return 0, tooLong(s)
		}
	}

	if exact > MaxDuration || days*float64(day) > float64(MaxDuration) {
		return 0, tooLong(s)
	}

	exact += time.Duration(math.Round(days * float64(day)))
	if exact > MaxDuration {
		return 0, tooLong(s)
	}

	return exact, nil
}

func tooLong(s string) error {
	return fmt.Errorf("%w: duration %s is too long", ErrRange, shown(s))
}

// takeDays returns the days of a duration, which time.ParseDuration does not know, and
// the rest of the duration. The text matches durationForm. A number of days beyond
// float64 is infinite.
func takeDays(s string) (days float64, rest string) {
	var b strings.Builder

	for _, part := range durationPart.FindAllString(s, -1) {
		number, isDays := strings.CutSuffix(strings.ToLower(part), "d")
		if !isDays {
			b.WriteString(part)
			continue
		}

		n, err := strconv.ParseFloat(number, 64)
		if err != nil {
			n = math.Inf(1)
		}

		days += n
	}

	return days, b.String()
}

// durationPart is a number with its unit.
var durationPart = regexp.MustCompile(`[0-9.]+[^0-9.]+`)

// durationForm is what ParseDuration accepts, once a bare number has its unit.
var durationForm = regexp.MustCompile(`^-?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|D))+$`)

func isNumber(s string) bool {
	digits := 0

	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case c != '.':
			return false
		}
	}

	return digits > 0 && strings.Count(s, ".") <= 1
}

// FormatDuration writes a duration as a user would: 90s, 10m, 24h, 7d.
func FormatDuration(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}

	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}

	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}

	return s
}

// ParseSize reads a number of bytes as Fluent Bit does (flb_utils_size_to_bytes): a
// number, possibly with a fraction, and K, M or G, which stand for powers of 1000, with
// or without B, in any case; "false" is 0. Unlike Fluent Bit it returns an error for
// anything else.
func ParseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if text == "false" {
		return 0, nil
	}

	number, unit, ok := takeUnit(text)
	if !ok {
		return 0, fmt.Errorf("%w: %s is not a size", ErrSyntax, shown(s))
	}

	number = strings.TrimSpace(number)
	if strings.HasPrefix(number, "-") && isNumber(number[1:]) {
		return 0, fmt.Errorf("%w: size %s is negative", ErrRange, shown(s))
	}

	if !isNumber(number) {
		return 0, fmt.Errorf("%w: %s is not a size", ErrSyntax, shown(s))
	}

	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v*unit >= 1<<53 {
		return 0, fmt.Errorf("%w: size %s is too large", ErrRange, shown(s))
	}

	return int64(math.Round(v * unit)), nil
}

// takeUnit returns a size without its unit, and how many bytes the unit stands for. A
// single B is no unit.
func takeUnit(text string) (number string, unit float64, ok bool) {
	short := strings.TrimSuffix(text, "b")
	if short == "" {
		return text, 1, true
	}

	units := map[byte]float64{'k': 1e3, 'm': 1e6, 'g': 1e9}

	last := len(short) - 1
	if unit, ok := units[short[last]]; ok {
		return short[:last], unit, true
	}

	return text, 1, short == text
}

// ParseBool reads on, off, true, false, yes, no in any case, as Fluent Bit does
// (flb_utils_bool).
func ParseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "on", "true", "yes":
		return true, nil
	case "off", "false", "no":
		return false, nil
	}

	return false, fmt.Errorf("%w: %s is neither on nor off", ErrSyntax, shown(s))
}
