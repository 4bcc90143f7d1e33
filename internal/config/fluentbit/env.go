package fluentbit

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"fluent-bit-defender/internal/config/envvar"
	"fluent-bit-defender/internal/config/plain"
)

// variable is a variable that the configuration sets itself: an entry of env, or an
// @SET.
type variable struct {
	name, value string
	// uri names the file that holds the value; if it is empty, value is used.
	uri string
	at  Error
	// strict says that Fluent Bit refuses to start if the file cannot be read.
	strict bool
}

// setVariables sets the variables of the configuration. Fluent Bit does this after it
// has read everything, and before it checks the first section.
func (l *loader) setVariables() error {
	for _, v := range l.sets {
		value := v.value
		if v.uri != "" {
			value = v.uri
		}

		path, isFile := strings.CutPrefix(value, "file://")
		if !isFile || path == "" {
			l.vars[v.name] = value
			continue
		}

		content, err := variableFile(path)
		if err == nil {
			l.vars[v.name] = content
			continue
		}

		at := v.at
		at.Problem = "the file with the variable " + plain.Text(v.name, 64) + " cannot be used: " + err.Error()

		at.Remedy, at.Err = "check its name, mode and content", err
		if v.strict {
			return &at
		}

		l.file.Notes = append(l.file.Notes, &at)
	}

	return nil
}

// variableFile reads the value of a variable; one line break at its end does not count.
func variableFile(path string) (string, error) {
	const most = 64 << 10

	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", cause(err)
	}
	defer f.Close()

	info, err := f.Stat()
	if err != nil {
		return "", cause(err)
	}

	if !info.Mode().IsRegular() || info.Size() > most {
		return "", errors.New("it is not a small regular file")
	}

	var data bytes.Buffer
	if _, err := data.ReadFrom(io.LimitReader(f, most)); err != nil {
		return "", cause(err)
	}

	text := data.String()
	if n := len(text); n > 0 && (text[n-1] == '\n' || text[n-1] == '\r') {
		text = text[:n-1]
	}

	if text == "" {
		return "", errors.New("it is empty")
	}

	return text, nil
}

// expandAll replaces the variables in all values.
func (l *loader) expandAll() {
	for i := range l.file.Sections {
		l.expandSection(&l.file.Sections[i])
	}
}

func (l *loader) expandSection(s *Section) {
	if s.Kind == "plugins" && l.file.Format == YAML {
		return // a list of paths, taken as they are
	}

	for i := range s.Props {
		if p := &s.Props[i]; !p.Nested {
			p.Value, p.Unset = envvar.Expand(p.Value, l.variable)
		}
	}

	for i := range s.Processors {
		l.expandSection(&s.Processors[i])
	}
}

// variable returns a variable as flb_env_get does: that of the configuration first. An
// empty variable of the environment counts as not set.
func (l *loader) variable(name string) (string, bool) {
	if v, ok := l.vars[name]; ok {
		return v, true
	}

	v, ok := l.env(name)
	if ok && v != "" {
		return v, true
	}

	if name == "HOSTNAME" && !ok {
		if v, err := os.Hostname(); err == nil {
			return v, true
		}
	}

	return "", false
}
