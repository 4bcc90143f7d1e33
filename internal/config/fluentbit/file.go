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

// File is a configuration with everything that it includes.
type File struct {
	// Path is the path as passed to Load, and Format is that of this file.
	Path   string
	Format Format
	// Root is the directory from which Fluent Bit looks for files with relative names.
	Root string
	// Sections are in the order in which Fluent Bit reads them.
	Sections []Section
	// Files are all files that were read, Path first.
	Files []string
	// Notes are problems that Fluent Bit ignores, with a warning at most.
	Notes []*Error
}

// Error says why a file cannot be read as Fluent Bit's configuration. Line 0 stands for
// the file as a whole. It contains no values.
type Error struct {
	File            string
	Line            int
	Problem, Remedy string
	// Err is the cause, where there is one.
	Err error
	// hint is a remedy that fits better than the usual one.
	hint string
}

// Error returns one line: file, line, problem, remedy.
func (e *Error) Error() string {
	where := plain.Text(e.File, 256)
	if e.Line > 0 {
		where += fmt.Sprintf(":%d", e.Line)
	}

	s := where + ": " + plain.Text(e.Problem, 512)
	if e.Remedy != "" {
		s += "; " + plain.Text(e.Remedy, 512)
	}

	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrTenantsFile is wrapped by Load's error for a file that is a tenants file of this
// input.
var ErrTenantsFile = errors.New("is a tenants file, not a configuration of Fluent Bit")

// Bounds on what a configuration may include; Fluent Bit's own bound on the number of
// files is 1000 too.
const (
	maxFiles = 1000
	maxBytes = 4 << 20  // of one file
	maxTotal = 32 << 20 // of all
	maxStars = 3        // directories with wildcards in one @INCLUDE
)

// Load reads a configuration file and everything that it includes. As for Fluent Bit,
// it is YAML if its name ends in .yaml or .yml, and classic otherwise. env returns
// environment variables; nil is the process's own. The error is an *Error: the first
// thing that Fluent Bit would refuse while it reads.
func Load(path string, env func(string) (string, bool)) (*File, error) {
	if env == nil {
		env = os.LookupEnv
	}

	l := newLoader(path, formatOf(path), env)
	l.include = l.readFile

	if err := l.readFile(path, nil); err != nil {
		return nil, err
	}

	if err := l.setVariables(); err != nil {
		return nil, err
	}

	l.expandAll()

	return l.file, nil
}

func newLoader(path string, format Format, env func(string) (string, bool)) *loader {
	root := filepath.Dir(path)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		root = filepath.Dir(target)
	}

	return &loader{
		file: &File{Path: path, Format: format, Root: root},
		env:  env,
		vars: map[string]string{},
		root: root,
	}
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
	// sets are the variables that the configuration sets, in order. vars are their
	// values, which are used before those of the environment.
	sets []variable
	vars map[string]string
	// root is the directory of the first file.
	root  string
	infos []fs.FileInfo
	total int64
	// serviceSeen says that a YAML file had its service section already.
	serviceSeen bool
	// processors collects the processors of the section that is being read.
	processors []Section
	// include reads an included file; tests replace it.
	include func(path string, from *Error) error
}

// failure returns the error about a file. from is where it is included; nil for the
// first file.
func failure(path string, from *Error, problem, remedy string, err error) error {
	if from == nil {
		return &Error{
			File:    path,
			Problem: problem,
			Remedy:  remedy,
			Err:     err,
		}
	}

	if from.hint != "" {
		remedy = from.hint
	}

	return &Error{
		File:    from.File,
		Line:    from.Line,
		Problem: "included file " + plain.Text(path, 256) + " " + problem,
		Remedy:  remedy,
		Err:     err,
	}
}

// cause returns an error without the path, which the caller names.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}

	return err
}

// readFile reads one file. from is where it is included; nil for the first file.
func (l *loader) readFile(path string, from *Error) error {
	if len(l.file.Files) >= maxFiles {
		return failure(path, from, fmt.Sprintf("is one of more than %d files", maxFiles), "include fewer", nil)
	}
	// O_NONBLOCK: a named pipe must not hang us.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return failure(path, from, "cannot be read: "+cause(err).Error(), remedyOf(err), err)
	}
	defer f.Close()

	info, err := f.Stat()
	switch {
	case err != nil:
		return failure(path, from, "cannot be read: "+cause(err).Error(), "check its file system", err)
	case info.IsDir() && from != nil && l.file.Format == Classic:
		l.file.Notes = append(l.file.Notes, &Error{
			File:    from.File,
			Line:    from.Line,
			Problem: "includes the directory " + plain.Text(path, 256) + ", from which Fluent Bit reads nothing",
			Remedy:  "name the files in it: " + plain.Text(path, 256) + "/*.conf",
		})

		return nil
	case info.IsDir():
		return failure(path, from, "is a directory", "name a file", nil)
	case !info.Mode().IsRegular():
		return failure(path, from, "is not a regular file", "name a file", nil)
	}

	for _, other := range l.infos {
		if os.SameFile(info, other) {
			return failure(path, from, "is read twice", "include it once", nil)
		}
	}

	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return failure(path, from, "cannot be read: "+cause(err).Error(), "check its file system", err)
	}

	l.total += int64(len(data))
	if len(data) > maxBytes || l.total > maxTotal {
		remedy := fmt.Sprintf("this check reads at most %d MB of a file, %d MB in all", maxBytes>>20, maxTotal>>20)
		return failure(path, from, "is too large", remedy, nil)
	}

	l.infos = append(l.infos, info)
	l.file.Files = append(l.file.Files, path)

	if l.file.Format == YAML {
		return l.yaml(path, data)
	}

	return l.classic(path, data)
}

// remedyOf returns what to do about a file that cannot be opened.
func remedyOf(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "check the path"
	case errors.Is(err, fs.ErrPermission):
		return "run this as a user who may read it, such as root"
	default:
		return "check its name and mode"
	}
}

// includeAll reads the files that an include names: one, or with an asterisk all that
// match. base is the directory for relative names.
func (l *loader) includeAll(name, base string, at *Error) error {
	if name == "" {
		return &Error{
			File:    at.File,
			Line:    at.Line,
			Problem: "includes nothing",
			Remedy:  "name a file",
		}
	}

	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}

	if !strings.Contains(name, "*") {
		return l.include(l.fromWorkingDirectory(name, path, at), at)
	}

	stars := 0

	for _, part := range strings.Split(path, "/") {
		if strings.ContainsAny(part, "*?[") {
			stars++
		}
	}

	if stars > maxStars {
		return &Error{
			File:    at.File,
			Line:    at.Line,
			Problem: fmt.Sprintf("has wildcards in more than %d directories", maxStars),
			Remedy:  "name the directories",
		}
	}

	matches, err := filepath.Glob(path)
	if err != nil || len(matches) == 0 {
		nothing := &Error{
			File:    at.File,
			Line:    at.Line,
			Problem: "includes no file: nothing matches " + plain.Quoted(name),
			Remedy:  "check the path, or remove the line",
			Err:     err,
		}
		if l.file.Format == YAML && !filepath.IsAbs(name) { // only here Fluent Bit goes on
			l.file.Notes = append(l.file.Notes, nothing)
			return nil
		}

		nothing.Problem += ", and Fluent Bit refuses to start"

		return nothing
	}

	for _, m := range matches {
		if err := l.include(m, at); err != nil {
			return err
		}
	}

	return nil
}

// fromWorkingDirectory returns the path of an included file. In the classic format
// Fluent Bit looks in its working directory first, which may be ours.
func (l *loader) fromWorkingDirectory(name, path string, at *Error) string {
	if l.file.Format != Classic || filepath.IsAbs(name) {
		return path
	}

	here, err := os.Stat(name)
	if err != nil {
		return path
	}

	there, err := os.Stat(path)
	if err == nil && !os.SameFile(here, there) {
		l.file.Notes = append(l.file.Notes, &Error{
			File: at.File,
			Line: at.Line,
			Problem: plain.Quoted(name) +
				" is in this working directory too, and Fluent Bit prefers the one in its own",
			Remedy: "name the file with its directory",
		})

		return path
	}

	return name
}
