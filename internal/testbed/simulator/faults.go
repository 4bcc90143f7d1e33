package simulator

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrFaults is returned for a text that is not in the grammar of FaultsHelp.
var ErrFaults = errors.New("faults")

// Fault is one item of the grammar, read.
type Fault struct {
	// Name is what it does: see FaultsHelp.
	Name string
	// Code is the HTTP status of a fault named by it, or the AADSTS code.
	Code int
	// Every and P are the rate: each N-th matching request, or each with this
	// probability. Neither: every one.
	Every int
	P     float64
	// From and To bound when it is active, since New; To 0 is for ever. Count is how
	// often it strikes at most; 0 is any number.
	From, To time.Duration
	Count    int
	// API and Tenant are its scope.
	API, Tenant string
	// After is the form of Retry-After: seconds, date or none; Wait what it says.
	After string
	Wait  time.Duration
	// By is an amount of time: delay, lateness, skew, life.
	By time.Duration
	// At is where in the body it strikes, 0 to 1.
	At float64
	// Rate is in bytes per second, Size in bytes.
	Rate, Size int64
	// Kind is the variety, where there are several.
	Kind string
}

type faultKind struct {
	options string // those it has besides rate, schedule and scope
	kinds   string // the first is the default
	by      time.Duration
	at      float64
	login   bool // strikes the sign-in service, not the APIs
	mode    bool // not counted per request
}

// faultKinds is the grammar's vocabulary.
var faultKinds = map[string]faultKind{
	"refuse":    {},
	"reset":     {options: "at", at: 0.5},
	"cut":       {options: "at kind", kinds: "length chunked clean", at: 0.5},
	"drip":      {options: "rate"},
	"stall":     {options: "at kind", kinds: "body head"},
	"latency":   {options: "by", by: time.Second},
	"junk":      {options: "kind", kinds: "html json empty text list"},
	"gzip":      {},
	"huge":      {options: "size"},
	"dup":       {},
	"shuffle":   {},
	"die":       {options: "by", by: 30 * time.Second, login: true},
	"login503":  {options: "after wait", login: true},
	"aadsts":    {login: true},
	"late":      {options: "by", by: 10 * time.Minute, mode: true},
	"skew":      {options: "by", by: 10 * time.Minute, mode: true},
	"link":      {options: "kind", kinds: "repeat nodollar otherhost skiptoken none"},
	"links":     {},
	"skip":      {options: "kind", kinds: "refused ignored"},
	"clamp":     {options: "size"},
	"emptypage": {},
	"lastlink":  {},
	"ties":      {},
	"move":      {},
	"redirect":  {options: "kind", kinds: "307 308 302"},
}

// FaultNames lists what ParseFaults knows, besides HTTP statuses.
func FaultNames() []string { return sortedKeys(faultKinds) }

// ParseFaults reads faults in the grammar of [FaultsHelp], such as
// "429:every=7;wait=5s,cut:p=0.1,503:from=10s;to=40s,aadsts=70000:count=1".
func ParseFaults(grammar string) ([]Fault, error) {
	var list []Fault

	for item := range strings.SplitSeq(grammar, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}

		f, err := parseFault(item)
		if err != nil {
			return nil, err
		}

		list = append(list, f)
	}

	return list, nil
}

func parseFault(item string) (Fault, error) {
	head, options, _ := strings.Cut(item, ":")
	name, value, hasValue := strings.Cut(strings.TrimSpace(head), "=")
	f := Fault{
		Name: strings.ToLower(strings.TrimSpace(name)),
		Wait: 5 * time.Second,
		Rate: 1000,
		Size: 20_000_000,
	}
	value = strings.TrimSpace(value)
	fail := func(format string, args ...any) (Fault, error) {
		return f, fmt.Errorf("%w: %q: %s", ErrFaults, strings.TrimSpace(item), fmt.Sprintf(format, args...))
	}

	kind, known := faultKinds[f.Name]
	if n, err := strconv.Atoi(f.Name); err == nil && n >= 400 && n <= 599 {
		kind, known, f.Code, f.After = faultKind{options: "after wait"}, true, n, "none"
		if n == 429 {
			f.After = "seconds"
		}
	}

	if !known {
		return fail("there is no such fault; there are 400 to 599, %s", strings.Join(FaultNames(), ", "))
	}

	f.By, f.At = kind.by, kind.at
	if kinds := strings.Fields(kind.kinds); len(kinds) > 0 {
		f.Kind = kinds[0]
	}

	if f.Name == "clamp" {
		f.Size = 100
	}

	if f.Name == "login503" {
		f.Code, f.After = 503, "none"
	}

	if kind.login {
		f.API = Login
	}

	switch {
	case f.Name == "aadsts":
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 || n > 99_999_999 {
			return fail("aadsts wants a code, as in aadsts=700082")
		}

		f.Code = n
	case hasValue && strings.Contains(kind.options, "by"):
		if err := f.set("by", value, kind); err != nil {
			return fail("%v", err)
		}
	case hasValue:
		return fail("it takes no value of its own")
	}

	for option := range strings.FieldsFuncSeq(options, func(r rune) bool { return r == ';' || r == '&' }) {
		key, value, ok := strings.Cut(option, "=")
		if !ok {
			return fail("option %q has no value", strings.TrimSpace(option))
		}

		if err := f.set(strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value), kind); err != nil {
			return fail("%v", err)
		}
	}

	if f.Every > 0 && f.P > 0 {
		return fail("every and p exclude each other")
	}

	if f.To > 0 && f.To <= f.From {
		return fail("to must be later than from")
	}

	if kind.mode && f.Every > 0 {
		return fail("every does not go with it")
	}

	return f, nil
}

func (f *Fault) set(key, value string, kind faultKind) (err error) {
	switch key {
	case "every", "p", "from", "to", "count", "api", "tenant":
	default:
		if !slices.Contains(strings.Fields(kind.options), key) {
			return fmt.Errorf("it has no option %q", key)
		}
	}

	number := func(most int64) int64 {
		var n int64
		if n, err = strconv.ParseInt(value, 10, 64); err != nil || n < 1 || n > most {
			err = fmt.Errorf("%s is %q: must be a number from 1 to %d", key, value, most)
		}

		return n
	}
	fraction := func() float64 {
		var x float64
		if x, err = strconv.ParseFloat(value, 64); err != nil || !(x >= 0 && x <= 1) {
			err = fmt.Errorf("%s is %q: must be from 0 to 1", key, value)
		}

		return x
	}
	span := func(negative bool) time.Duration {
		var d time.Duration
		if d, err = time.ParseDuration(value); err != nil || d < 0 && !negative {
			err = fmt.Errorf("%s is %q: must be a duration such as 10s", key, value)
		}

		return d
	}
	oneOf := func(list string) string {
		if !slices.Contains(strings.Fields(list), value) {
			err = fmt.Errorf("%s is %q: must be one of %s", key, value, list)
		}

		return value
	}

	switch key {
	case "every":
		f.Every = int(number(1_000_000_000))
	case "count":
		f.Count = int(number(1_000_000_000))
	case "p":
		if f.P = fraction(); err == nil && f.P == 0 {
			err = errors.New("p is 0: leave the fault out")
		}
	case "at":
		f.At = fraction()
	case "from":
		f.From = span(false)
	case "to":
		f.To = span(false)
	case "wait":
		f.Wait = span(false)
	case "by":
		f.By = span(f.Name == "skew")
	case "rate":
		f.Rate = number(1_000_000_000)
	case "size":
		f.Size, err = size(value)
	case "after":
		f.After = oneOf("seconds date none")
	case "kind":
		f.Kind = oneOf(kind.kinds)
	case "api":
		f.API = oneOf("siem endpoint graph incidents login all")
	case "tenant":
		f.Tenant = strings.ToLower(value)
	}

	return err
}

// size reads bytes with an optional k, M or G, in thousands as Fluent Bit has them.
func size(value string) (int64, error) {
	unit, digits := int64(1), value
	if value != "" {
		switch value[len(value)-1] {
		case 'k', 'K':
			unit = 1000
		case 'm', 'M':
			unit = 1_000_000
		case 'g', 'G':
			unit = 1_000_000_000
		}

		if unit > 1 {
			digits = value[:len(value)-1]
		}
	}

	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > 4_000_000_000/unit {
		return 0, fmt.Errorf("size is %q: must be bytes up to 4G, such as 20M", value)
	}

	return n * unit, nil
}
