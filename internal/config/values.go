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

// Errors of ParseDuration, ParseSize and ParseBool: ErrSyntax is wrapped where the text
// is none, ErrRange where it is one that is negative or greater than anything of use.
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

	tooLong := fmt.Errorf("%w: duration %s is too long", ErrRange, shown(s))
	// time.ParseDuration knows neither days nor, for bare numbers, more than "0": days
	// are taken out, the rest is left to it.
	var (
		total float64
		other strings.Builder
	)

	for i := 0; i < len(rest); {
		start := i
		for i < len(rest) && (rest[i] == '.' || '0' <= rest[i] && rest[i] <= '9') {
			i++
		}

		number := rest[start:i]

		unit := i
		for i < len(rest) && rest[i] != '.' && (rest[i] < '0' || '9' < rest[i]) {
			i++
		}

		if strings.EqualFold(rest[unit:i], "d") {
			days, err := strconv.ParseFloat(number, 64)
			if err != nil {
				return 0, tooLong
			}

			total += days * float64(day)

			continue
		}

		other.WriteString(rest[start:i])
	}

	var exact time.Duration

	if other.Len() > 0 {
		var err error
		if exact, err = time.ParseDuration(other.String()); err != nil {
			return 0, tooLong
		}
	}

	if exact > MaxDuration || total > float64(MaxDuration) {
		return 0, tooLong
	}

	if exact += time.Duration(math.Round(total)); exact > MaxDuration {
		return 0, tooLong
	}

	return exact, nil
}

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
// or without B, in any case; "false" is 0. Unlike there, what does not fit is an error.
func ParseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if text == "false" {
		return 0, nil
	}

	number, unit := text, 1.0
	if n := strings.TrimSuffix(text, "b"); n != "" {
		switch n[len(n)-1] {
		case 'k':
			number, unit = n[:len(n)-1], 1e3
		case 'm':
			number, unit = n[:len(n)-1], 1e6
		case 'g':
			number, unit = n[:len(n)-1], 1e9
		default:
			if n != text {
				return 0, fmt.Errorf("%w: %s is not a size", ErrSyntax, shown(s))
			}
		}
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

// ParseBool reads on, off, true, false, yes, no in any case, which is what Fluent Bit
// takes (flb_utils_bool).
func ParseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "on", "true", "yes":
		return true, nil
	case "off", "false", "no":
		return false, nil
	}

	return false, fmt.Errorf("%w: %s is neither on nor off", ErrSyntax, shown(s))
}
