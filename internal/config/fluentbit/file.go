package fluentbit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"fluent-bit-defender/internal/config/plain"
)

// Format is how a file is written.
type Format string

// The formats.
const (
	Classic Format = "classic"
	YAML    Format = "yaml"
)

// File is a configuration with all it includes.
type File struct {
	// Path is as given to Load; Format that of the file itself.
	Path   string
	Format Format
	// Sections are in the order in which Fluent Bit meets them.
	Sections []Section
	// Files are all files read, Path first.
	Files []string
	// Notes are things that Fluent Bit passes over with a warning at most.
	Notes []*Error
}

// Section is one section: [INPUT], or an entry of pipeline.inputs.
type Section struct {
	// Kind is in lower case and singular: "service", "input", "filter", "output", "parser", "plugins", "custom" …
	Kind string
	// File and Line are where it begins.
	File string
	Line int
	// Props are in order; a key may stand more than once.
	Props []Prop
}

// Prop is one key of a section.
type Prop struct {
	// Key is as written (YAML: camelCase became snake_case, as in Fluent Bit); Value is expanded and trimmed.
	Key, Value string
	Line       int
	// Unset names the variables in the value that are not set.
	Unset []string
	// Nested: the value is a structure, such as processors, and not kept.
	Nested bool
}

// Get gives the value of a key, in any case, or "": of the first, where it stands more than once, as Fluent Bit does.
func (s Section) Get(key string) string {
	if p, ok := s.Prop(key); ok {
		return p.Value
	}
	return ""
}

// Prop gives the first property with a key, in any case.
func (s Section) Prop(key string) (Prop, bool) {
	for _, p := range s.Props {
		if strings.EqualFold(p.Key, key) {
			return p, true
		}
	}
	return Prop{}, false
}

// Where gives the file and line of a key, or of the section when it has no such key.
func (s Section) Where(key string) (file string, line int) {
	if p, ok := s.Prop(key); ok {
		return s.File, p.Line
	}
	return s.File, s.Line
}

// Unset names the variables in the value of a key that are not set.
func (s Section) Unset(key string) []string {
	p, _ := s.Prop(key)
	return p.Unset
}

// Of gives the sections of a kind.
func (f *File) Of(kind string) []Section {
	var found []Section
	for _, s := range f.Sections {
		if s.Kind == kind {
			found = append(found, s)
		}
	}
	return found
}

// Error is why a file cannot be read as Fluent Bit's configuration; Line 0 is the file as a whole. It holds no values.
type Error struct {
	File          string
	Line          int
	Problem, Mend string
	// Err is the cause, where there is one.
	Err error
}

// Error is one line: file, line, problem, mend.
func (e *Error) Error() string {
	where := plain.Text(e.File, 256)
	if e.Line > 0 {
		where += fmt.Sprintf(":%d", e.Line)
	}
	s := where + ": " + plain.Text(e.Problem, 512)
	if e.Mend != "" {
		s += "; " + plain.Text(e.Mend, 512)
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrTenantsFile is wrapped by Load's error for a file that is a tenants file of this input.
var ErrTenantsFile = errors.New("is a tenants file, not a configuration of Fluent Bit")

// Bounds on what a configuration may include; Fluent Bit's own bound on the number of files is 1000 too.
const (
	maxFiles = 1000
	maxDepth = 32
	maxBytes = 4 << 20  // of one file
	maxTotal = 32 << 20 // of all
	maxStars = 3        // directories with wildcards in one @INCLUDE
)

// Load reads a configuration file and all it includes. By its name it is YAML (.yaml, .yml) or classic, as for Fluent Bit.
// env gives environment variables; nil: the process's own. The error is an *Error: the first thing that Fluent Bit would refuse.
func Load(path string, env func(string) (string, bool)) (*File, error) {
	if env == nil {
		env = os.LookupEnv
	}
	l := &loader{file: &File{Path: path, Format: formatOf(path)}, env: env, vars: map[string]string{}, root: filepath.Dir(path)}
	l.include = l.readFile
	if err := l.readFile(path, nil); err != nil {
		return nil, err
	}
	l.expandAll()
	return l.file, nil
}

func formatOf(path string) Format {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		return YAML
	}
	return Classic
}

// loader reads one configuration.
type loader struct {
	file *File
	env  func(string) (string, bool)
	// vars are those that the configuration sets itself; they go before the environment.
	vars map[string]string
	// root is the directory of the first file.
	root  string
	infos []fs.FileInfo
	depth int
	total int64
	// include reads an included file; tests replace it.
	include func(path string, from *Error) error
}

// readFile reads one file; from is where it is included, nil for the first.
func (l *loader) readFile(path string, from *Error) error {
	fail := func(problem, mend string, cause error) error {
		if from == nil {
			return &Error{File: path, Problem: problem, Mend: mend, Err: cause}
		}
		return &Error{File: from.File, Line: from.Line, Problem: "included file " + plain.Text(path, 256) + " " + problem, Mend: mend, Err: cause}
	}
	if len(l.file.Files) >= maxFiles {
		return fail(fmt.Sprintf("is one of more than %d files", maxFiles), "include fewer", nil)
	}
	if l.depth >= maxDepth {
		return fail(fmt.Sprintf("is included through more than %d others", maxDepth), "include it directly", nil)
	}
	// O_NONBLOCK: a named pipe must not hang us.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			return fail("cannot be read: "+p.Err.Error(), "check its name and mode", err)
		}
		return fail("cannot be read", "check its name and mode", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return fail("is not a regular file", "name a file", err)
	}
	for _, other := range l.infos {
		if os.SameFile(info, other) {
			return fail("is read twice", "include it once", nil)
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return fail("cannot be read", "check its file system", err)
	}
	if l.total += int64(len(data)); len(data) > maxBytes || l.total > maxTotal {
		return fail("is too large", fmt.Sprintf("configurations have at most %d MB a file, %d MB in all", maxBytes>>20, maxTotal>>20), nil)
	}
	l.infos = append(l.infos, info)
	l.file.Files = append(l.file.Files, path)
	l.depth++
	defer func() { l.depth-- }()
	if l.file.Format == YAML {
		return l.yaml(path, data)
	}
	return l.classic(path, data)
}

// includeAll reads the files that an include names: one, or with an asterisk all that match. base is the directory that
// relative names start from.
func (l *loader) includeAll(name, base string, at *Error) error {
	if name == "" {
		return &Error{File: at.File, Line: at.Line, Problem: "includes nothing", Mend: "name a file"}
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	if !strings.Contains(name, "*") {
		// Fluent Bit looks from its working directory too, which may be ours.
		if _, err := os.Stat(path); err != nil && !filepath.IsAbs(name) {
			if _, err := os.Stat(name); err == nil {
				path = name
			}
		}
		return l.include(path, at)
	}
	stars := 0
	for _, part := range strings.Split(path, "/") {
		if strings.ContainsAny(part, "*?[") {
			stars++
		}
	}
	if stars > maxStars {
		return &Error{File: at.File, Line: at.Line, Problem: fmt.Sprintf("has wildcards in more than %d directories", maxStars), Mend: "name the directories"}
	}
	matches, err := filepath.Glob(path)
	if err != nil {
		return &Error{File: at.File, Line: at.Line, Problem: "is not a pattern of file names", Mend: "mend the brackets", Err: err}
	}
	if len(matches) == 0 {
		l.file.Notes = append(l.file.Notes, &Error{File: at.File, Line: at.Line, Problem: "includes no file: nothing matches " + plain.Quoted(name), Mend: "check the path"})
	}
	for _, m := range matches {
		if err := l.include(m, at); err != nil {
			return err
		}
	}
	return nil
}
