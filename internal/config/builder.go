package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
)

// maxFaults bounds the number of faults, and of warnings, that one file can cause.
const maxFaults = 1000

// builder collects the faults and warnings of one configuration while it is read.
type builder struct {
	sources  Sources
	faults   []error
	warnings []Warning
	// reported are the faults and warnings about inherited values, as text without the
	// tenant, so that each is reported once and not once per tenant.
	reported map[string]bool
	// files and bundles keep what was read: hundreds of tenants may share a file.
	files   map[string]fileContent
	bundles map[string]bundle
	// dataOwner is the user who owns data_dir, if this process is root; else 0.
	dataOwner uint32
	// sum is the SHA-256 of the tenants file.
	sum [32]byte
}

type fileContent struct {
	data []byte
	mode fs.FileMode
	err  error
	// foreign says that the file belongs to an unexpected user; nil otherwise.
	foreign *filemode.Error
}

func newBuilder(s Sources) *builder {
	return &builder{
		sources:  s,
		files:    map[string]fileContent{},
		bundles:  map[string]bundle{},
		reported: map[string]bool{},
	}
}

// failure returns the faults as one error, or nil if there are none.
func (b *builder) failure() error { return errors.Join(b.faults...) }

func (b *builder) add(f *Fault) {
	switch {
	case len(b.faults) < maxFaults:
		b.faults = append(b.faults, f)
	case len(b.faults) == maxFaults:
		problem := fmt.Sprintf("more than %d faults", maxFaults)
		b.faults = append(b.faults, newFault(Place{File: f.File}, problem, "fix these first"))
	}
}

func (b *builder) warn(w Warning) {
	if len(b.warnings) < maxFaults {
		b.warnings = append(b.warnings, w)
	}
}

// once reports whether a fault or warning is new, whichever tenant it is about.
func (b *builder) once(f *Fault) bool {
	at := f.Place
	at.Tenant = ""
	text := at.Sentence(f.Problem, f.Remedy)

	if b.reported[text] {
		return false
	}

	b.reported[text] = true

	return true
}

// read returns a regular file's content, up to limit bytes. Each file is read once.
func (b *builder) read(name string, limit int64) fileContent {
	c, ok := b.files[name]
	if !ok {
		c = readFile(b.sources, name, limit)
		b.files[name] = c
	}

	return c
}

// Reasons why a file named in the configuration cannot be used.
var (
	errNotRegular = errors.New("is not a regular file")
	errTooLarge   = errors.New("is too large")
)

// readFile reads a file that the configuration names, unless another user may change it.
func readFile(s Sources, name string, limit int64) fileContent {
	f, err := s.open(name)
	if errors.Is(err, filemode.ErrNotRegular) {
		return fileContent{err: errNotRegular}
	}

	if err != nil {
		return fileContent{err: bare(err)}
	}

	defer f.Close()

	info, err := f.Stat()
	if err != nil {
		return fileContent{err: bare(err)}
	}

	c := fileContent{mode: info.Mode()}
	if !info.Mode().IsRegular() {
		c.err = errNotRegular
		return c
	}

	var unsafe *filemode.Error
	switch err := s.judge(name); {
	case !errors.As(err, &unsafe):
		c.err = err
	case unsafe.Foreign:
		c.foreign = unsafe
	default:
		c.err = &writableError{file: name, cause: unsafe}
	}

	if c.err != nil {
		return c
	}

	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		c.err = bare(err)
	case int64(len(data)) > limit:
		c.err = errTooLarge
	default:
		c.data = data
	}

	return c
}

// writableError says that another user may change a file. It follows the file's name in
// a sentence.
type writableError struct {
	file  string
	cause *filemode.Error
}

// Error implements error. The remedy is not in it: see remedyOf.
func (e *writableError) Error() string {
	if path, err := filepath.Abs(e.file); err == nil && path == e.cause.Path {
		return e.cause.Problem
	}

	return "is not safe from other users: " + plain.Shell(e.cause.Path) + " " + e.cause.Problem
}

// remedyOf returns what to do about an error of read: its own remedy if it has one,
// else the usual one.
func remedyOf(err error, usual string) string {
	var e *writableError
	if errors.As(err, &e) {
		return e.cause.Remedy
	}

	return usual
}

// unusable returns the error for a file that is read while the input runs. It has the
// name, the problem, and the remedy if one is known.
func unusable(file string, err error) error {
	if remedy := remedyOf(err, ""); remedy != "" {
		return fmt.Errorf("%s %w; %s", file, err, remedy)
	}

	return fmt.Errorf("%s %w", file, err)
}

// bare removes operation and path from a file error, since the fault names the file
// itself.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("cannot be read: %w", p.Err)
	}

	return fmt.Errorf("cannot be read: %w", err)
}

// reader reads the keys of one tenant, or of the input, through its layers, the most
// specific first.
type reader struct {
	*builder
	layers []layer
	// tenant is the label in faults.
	tenant string
	// hint returns an addition to the remedy for a missing key; it may be nil.
	hint func(key string) string
}

func (b *builder) reader(layers ...layer) *reader {
	return &reader{builder: b, layers: layers}
}

// missing reports that a required key has no value.
func (r *reader) missing(key string, v value, problem, remedy string) {
	if r.hint != nil {
		remedy += r.hint(key)
	}

	r.fault(key, v, problem, remedy)
}

// raw returns the value of a key from the first layer that has it.
func (r *reader) raw(key string) value {
	for _, l := range r.layers {
		if v := l.value(key); v.set {
			return v
		}
	}

	return r.layers[0].value(key)
}

// group returns the values of keys that replace each other, all from the first layer
// that has any of them: a tenant's certificate replaces the secret of the defaults.
func (r *reader) group(keys ...string) []value {
	for _, l := range r.layers {
		values := make([]value, len(keys))
		for i, k := range keys {
			values[i] = l.value(k)
		}

		if slices.ContainsFunc(values, func(v value) bool { return v.set }) {
			return values
		}
	}

	return make([]value, len(keys))
}

// fault reports a fault in a value. One that is inherited is reported once, not once
// per tenant.
func (r *reader) fault(key string, v value, problem, remedy string) {
	f := newFault(r.place(key, v), problem, remedy)
	if !v.inherited || r.once(f) {
		r.add(f)
	}
}

// warning reports a value that is accepted but probably not meant, as fault does a
// fault.
func (r *reader) warning(key string, v value, problem, remedy string) {
	f := newFault(r.place(key, v), problem, remedy)
	if !v.inherited || r.once(f) {
		r.warn(Warning(*f))
	}
}

func (r *reader) place(key string, v value) Place {
	return Place{
		File:   v.file,
		Line:   v.line,
		Key:    key,
		Tenant: r.tenant,
	}
}

// refuse reports a value that is not valid for a key. It shows the value unless the key
// is secret, or is client_id, which holds the secret if the two were swapped.
func (r *reader) refuse(o Option, v value, problem, remedy string) {
	if quoted(v.text) {
		remedy = "write it without the quotation marks"
	}

	if !o.Secret && o.Name != "client_id" {
		problem = shown(v.text) + " " + problem
	}

	r.fault(o.Name, v, problem, remedy)
}

// quoted reports whether a value is in quotation marks, which Fluent Bit's classic
// format does not remove.
func quoted(s string) bool {
	return len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0]
}

// option returns the description of a key of the table.
func option(key string) Option {
	o, ok := Lookup(key)
	if !ok {
		panic("config: no option " + key) // a slip in this package, found by its first test
	}

	return o
}

// oneOf joins the values of an enum for a remedy.
func oneOf(values []string) string { return "use one of " + strings.Join(values, ", ") }
