package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrFaults is returned for a text that is not in the grammar of FaultsHelp.
var ErrFaults = errors.New("faults")

// Fault is one fault, as read from the grammar.
type Fault struct {
	// Name is what it does: see FaultsHelp.
	Name string
	// Code is the HTTP status of a fault named by it, or the AADSTS code.
	Code int
	// Every and P are the rate: every N-th matching request, or each with this
	// probability. If both are 0, the fault strikes at every one.
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
	// ID is the identity of a row that must be in the answer; empty for any.
	ID string
}

// faultKind describes the faults of one name.
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
	"vanish":    {},
	"redirect":  {options: "kind", kinds: "307 308 302"},
	"expand":    {options: "id kind by", kinds: "500 stall", by: time.Minute},
}

// FaultNames returns the names that ParseFaults knows, besides HTTP statuses.
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

// parseFault reads one fault of the grammar.
func parseFault(item string) (Fault, error) {
	head, options, _ := strings.Cut(item, ":")
	name, value, hasValue := strings.Cut(strings.TrimSpace(head), "=")

	f, kind, err := newFault(strings.ToLower(strings.TrimSpace(name)))
	if err == nil {
		err = f.setValue(strings.TrimSpace(value), hasValue, kind)
	}

	if err == nil {
		err = f.setOptions(options, kind)
	}

	if err == nil {
		err = f.check(kind)
	}

	if err != nil {
		return f, fmt.Errorf("%w: %q: %w", ErrFaults, strings.TrimSpace(item), err)
	}

	return f, nil
}

// newFault returns the fault of a name, with its defaults.
func newFault(name string) (Fault, faultKind, error) {
	f := Fault{
		Name: name,
		Wait: 5 * time.Second,
		Rate: 1000,
		Size: 20_000_000,
	}

	kind, known := faultKinds[name]
	if n, err := strconv.Atoi(name); err == nil && n >= 400 && n <= 599 {
		kind, known = faultKind{options: "after wait"}, true
		f.Code = n
		f.After = "none"

		if n == http.StatusTooManyRequests {
			f.After = "seconds"
		}
	}

	if !known {
		return f, kind, fmt.Errorf("there is no such fault; there are 400 to 599, %s", strings.Join(FaultNames(), ", "))
	}

	f.By, f.At = kind.by, kind.at
	if kinds := strings.Fields(kind.kinds); len(kinds) > 0 {
		f.Kind = kinds[0]
	}

	if kind.login {
		f.API = Login
	}

	switch name {
	case "clamp":
		f.Size = 100
	case "login503":
		f.Code, f.After = http.StatusServiceUnavailable, "none"
	}

	return f, kind, nil
}

// setValue reads what follows the name and "=".
func (f *Fault) setValue(value string, hasValue bool, kind faultKind) error {
	switch {
	case f.Name == "aadsts":
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 || n > 99_999_999 {
			return errors.New("aadsts wants a code, as in aadsts=700082")
		}

		f.Code = n
	case hasValue && strings.Contains(kind.options, "by"):
		return f.set("by", value, kind)
	case hasValue:
		return errors.New("it takes no value of its own")
	}

	return nil
}

// setOptions reads the options.
func (f *Fault) setOptions(options string, kind faultKind) error {
	for option := range strings.FieldsFuncSeq(options, func(r rune) bool { return r == ';' || r == '&' }) {
		key, value, ok := strings.Cut(option, "=")
		if !ok {
			return fmt.Errorf("option %q has no value", strings.TrimSpace(option))
		}

		if err := f.set(strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value), kind); err != nil {
			return err
		}
	}

	return nil
}

// check returns an error for options that exclude each other.
func (f *Fault) check(kind faultKind) error {
	switch {
	case f.Every > 0 && f.P > 0:
		return errors.New("every and p exclude each other")
	case f.To > 0 && f.To <= f.From:
		return errors.New("to must be later than from")
	case kind.mode && f.Every > 0:
		return errors.New("every cannot be used with it")
	}

	return nil
}

// generalOptions are those that every fault has.
var generalOptions = []string{"every", "p", "from", "to", "count", "api", "tenant"}

// set reads one option.
func (f *Fault) set(key, value string, kind faultKind) (err error) {
	if !slices.Contains(generalOptions, key) && !slices.Contains(strings.Fields(kind.options), key) {
		return fmt.Errorf("it has no option %q", key)
	}

	switch key {
	case "every":
		f.Every, err = wholeNumber[int](key, value)
	case "count":
		f.Count, err = wholeNumber[int](key, value)
	case "rate":
		f.Rate, err = wholeNumber[int64](key, value)
	case "size":
		f.Size, err = size(value)
	case "p":
		f.P, err = probability(key, value)
	case "at":
		f.At, err = fraction(key, value)
	case "after":
		f.After, err = value, oneOf(key, value, "seconds date none")
	case "kind":
		f.Kind, err = value, oneOf(key, value, kind.kinds)
	case "api":
		f.API, err = value, oneOf(key, value, strings.Join(APIs(), " ")+" login discovery partner all")
	case "tenant":
		f.Tenant = strings.ToLower(value)
	case "id":
		f.ID = value
	default:
		return f.setTime(key, value)
	}

	return err
}

// setTime reads an option that is a duration.
func (f *Fault) setTime(key, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 && (key != "by" || f.Name != "skew") {
		return fmt.Errorf("%s is %q: must be a duration such as 10s", key, value)
	}

	switch key {
	case "from":
		f.From = d
	case "to":
		f.To = d
	case "wait":
		f.Wait = d
	case "by":
		f.By = d
	}

	return nil
}

// wholeNumber reads a number of 1 and more.
func wholeNumber[T int | int64](key, value string) (T, error) {
	const most = 1_000_000_000

	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s is %q: must be a number from 1 to %d", key, value, most)
	}

	return T(n), nil
}

// fraction reads a number from 0 to 1.
func fraction(key, value string) (float64, error) {
	x, err := strconv.ParseFloat(value, 64)
	if err != nil || !(x >= 0 && x <= 1) { // not x < 0 || x > 1: NaN is neither
		return 0, fmt.Errorf("%s is %q: must be from 0 to 1", key, value)
	}

	return x, nil
}

// probability reads a number from 0 to 1, and refuses 0.
func probability(key, value string) (float64, error) {
	p, err := fraction(key, value)
	if err == nil && p == 0 {
		err = errors.New("p is 0: leave the fault out")
	}

	return p, err
}

// oneOf returns an error if value is not one of the words of list.
func oneOf(key, value, list string) error {
	if !slices.Contains(strings.Fields(list), value) {
		return fmt.Errorf("%s is %q: must be one of %s", key, value, list)
	}

	return nil
}

// size reads a number of bytes with an optional k, M or G. A k is 1000, as in Fluent
// Bit.
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
