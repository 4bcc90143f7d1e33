package instance

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/testcert"
	"fluent-bit-defender/tokens"
)

// TestEveryKeyReachesTheBuiltInput sets each key of the table of options to a value that
// is not its default, and demands that the input that is built from it differs. A key
// that is parsed and that nobody uses fails it, a new one too.
//
// A new key of a kind that needs no file or address takes part by itself. Otherwise
// name its value in valuesOf.
func TestEveryKeyReachesTheBuiltInput(t *testing.T) {
	w := newWorkshop(t)

	for _, o := range config.Options() {
		t.Run(o.Name, func(t *testing.T) {
			c := w.caseOf(t, o)
			with := maps.Clone(c.beside)
			with[o.Name] = c.value

			base, again := w.baseline(t, o, c)
			other := w.build(t, o, with, c.thread)

			if difference(base, again, other) == "" {
				t.Errorf("nothing that is built from %q depends on it: who reads the key?", o.Name+" "+c.value)
			}
		})
	}
}

// difference returns what differs between an input and one that was built twice, and
// nothing if they are alike. What differed between these two, such as a random number,
// does not count.
func difference(base, again, other map[string]string) string {
	for path, value := range base {
		if got, ok := other[path]; again[path] == value && (!ok || got != value) {
			return fmt.Sprintf("%s: %q, then %q", path, value, got)
		}
	}

	for path, value := range other {
		if _, ok := again[path]; !ok {
			return fmt.Sprintf("%s: nothing, then %q", path, value)
		}
	}

	return ""
}

// disregard makes again differ from base wherever third does.
func disregard(again, base, third map[string]string) {
	for path, value := range base {
		if third[path] != value {
			delete(again, path)
		}
	}

	for path, value := range third {
		if base[path] != value {
			again[path] = value
		}
	}
}

// keyCase is how a key is tried: its value, the keys that it needs beside it, and the
// thread that the input is opened on.
type keyCase struct {
	value  string
	beside map[string]string
	thread Thread
}

// workshop has the files that keys name, and an address to listen on.
type workshop struct {
	dir, address string
	// baselines are the inputs without the key that is tried.
	baselines map[string][2]map[string]string
}

// baseline returns what is built twice without the key. A further time proves that only
// keys make a difference.
func (w *workshop) baseline(t *testing.T, o config.Option, c keyCase) (base, again map[string]string) {
	t.Helper()

	name := fmt.Sprint(c.beside, c.thread, o.Scope == config.FileOnly)
	if b, ok := w.baselines[name]; ok {
		return b[0], b[1]
	}

	base, again = w.build(t, o, c.beside, c.thread), w.build(t, o, c.beside, c.thread)
	w.baselines[name] = [2]map[string]string{base, again}

	for tries := 1; ; tries++ {
		third := w.build(t, o, c.beside, c.thread)

		text := difference(base, again, third)
		if text == "" {
			break
		}

		if tries == 5 {
			t.Errorf("the same keys do not build the same input: this test proves nothing: %s", text)
			break
		}

		// What goes on in the background had come further, or less far, than before.
		disregard(again, base, third)
	}

	return base, again
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	w := &workshop{
		dir:       t.TempDir(),
		address:   setup.FreeAddress(t),
		baselines: map[string][2]map[string]string{},
	}

	certificate, _ := testcert.New(t, 10000*time.Hour)

	for name, text := range map[string]string{
		"pem":  string(certificate),
		"text": "0.AXoAtext-in-a-file-that-looks-like-a-token",
		"key":  "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
	} {
		if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return w
}

func (w *workshop) path(name string) string { return filepath.Join(w.dir, name) }

// caseOf returns how a key is tried: as valuesOf says, or by a value of its kind.
func (w *workshop) caseOf(t *testing.T, o config.Option) keyCase {
	t.Helper()

	c := w.valuesOf()[o.Name]
	c.beside = maps.Clone(c.beside)

	if c.beside == nil {
		c.beside = map[string]string{}
	}

	if c.thread.Name == "" {
		c.thread = Thread{ID: 1, Name: "flb-pipeline"}
	}

	if c.value != "" {
		return c
	}

	switch o.Kind {
	case config.KindDuration:
		c.value = "47m"
	case config.KindSize:
		c.value = "4096"
	case config.KindInt:
		c.value = "7"
	case config.KindBool:
		c.value = map[string]string{"on": "off", "off": "on"}[o.Default]
	case config.KindEnum:
		c.value = o.Values[slices.IndexFunc(o.Values, func(v string) bool { return v != o.Default })]
	case config.KindString, config.KindSecret:
		c.value = "other.example"
	case config.KindFile:
		c.value = w.path("text")
	case config.KindDate:
		c.value = "2031-01-31"
	case config.KindURL:
		c.value = "http://127.0.0.1:9"
	default:
		t.Fatalf("no value is known for the kind %s", o.Kind)
	}

	return c
}

// valuesOf are the keys for which a value of their kind does not do.
func (w *workshop) valuesOf() map[string]keyCase {
	threaded := Thread{ID: 2, Name: "flb-in-defender.0"}
	noSecret := map[string]string{
		"client_secret": "",
		"grant":         "refresh_token",
		"refresh_token": "0.AXoA-token-that-looks-like-one-of-Microsoft",
	}
	provider := map[string]string{"home_tenant_id": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"}
	metrics := map[string]string{"metrics_listen": w.address}
	keyed := map[string]string{"key_file": w.path("key")}
	database := map[string]string{
		"store":    "postgres://127.0.0.1:9/x", // nobody is there, which is waited for
		"key_file": w.path("key"),
		"node_id":  "a",
	}

	return map[string]keyCase{
		"client_secret_file":      {beside: noSecret},
		"client_certificate_file": {value: w.path("pem"), beside: noSecret},
		"refresh_token":           {value: "0.AXoAnother-token-that-looks-like-one-of-Microsoft"},
		"cloud":                   {value: "gcchigh"},
		"home_tenant_id":          {value: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"},
		"graph_url":               {beside: provider},
		"partner_url":             {beside: provider},
		"region":                  {beside: map[string]string{"api": "endpoint"}},
		"data_dir":                {value: w.path("elsewhere")},
		"key_file":                {value: w.path("key")},
		"store":                   {value: "postgres://127.0.0.1:9/x", beside: keyed},
		"node_id":                 {value: "b", beside: database},
		"lease_ttl":               {value: "47s", beside: database},
		"takeover_replay":         {beside: database},
		"ca_file":                 {value: w.path("pem")},
		"tenants_file":            {value: w.path("tenants.yaml")},
		"metrics_listen":          {value: w.address},
		"metrics_token_file":      {beside: metrics},
		"metrics_hosts":           {beside: metrics},
		"allow_threaded":          {thread: threaded},
	}
}

// build opens an input with these keys, and returns everything in it that depends on
// them. A key of a tenants file is put into one; all others are put into the section.
func (w *workshop) build(
	t *testing.T,
	o config.Option,
	keys map[string]string,
	thread Thread,
) map[string]string {
	t.Helper()

	section := config.Map{
		"tenant_id":     "contoso.example",
		"client_id":     "11111111-2222-3333-4444-555555555555",
		"client_secret": "s3cret",
		"data_dir":      w.path("data"),
	}
	inFile := "tenants:\n  - tenant_id: fabrikam.example\n"

	for key, value := range keys {
		if o.Scope == config.FileOnly && key == o.Name {
			inFile += fmt.Sprintf("    %s: %q\n", key, value)
			continue
		}

		section[key] = value
	}

	if o.Scope == config.FileOnly {
		section["tenants_file"] = w.path("tenants.yaml")
	}

	if section["tenants_file"] != "" {
		delete(section, "tenant_id")

		if err := os.WriteFile(w.path("tenants.yaml"), []byte(inFile), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	host := &logHost{Map: section}
	p := NewProcess()

	if _, ok := p.Open(host, thread, false); !ok {
		if o.Name != "allow_threaded" {
			t.Fatalf("does not start:\n%s", strings.Join(host.lines, "\n"))
		}

		return map[string]string{"": "refused"}
	}
	defer p.Exit(thread.ID)

	for _, d := range p.shared.dirs {
		if d.node != nil { // nothing may change while it is looked at
			if err := d.node.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}

	s := snapshot{values: map[string]string{}, seen: map[unsafe.Pointer]bool{}}
	s.add("", reflect.ValueOf(p))

	return s.values
}

// logHost is a host that keeps what is logged.
type logHost struct {
	config.Map
	lines []string
}

func (h *logHost) LogEnabled(level int) bool  { return level <= 3 } // how often something is tried is luck
func (h *logHost) Log(_ int, text string)     { h.lines = append(h.lines, text) }
func (h *logHost) CanAppend() bool            { return true }
func (h *logHost) Append(string, []byte) bool { return true }

// snapshot is all that can be reached from a value: the plain values by their path. What
// package config made is left out, so that a key does not count because it was parsed.
// Of other modules nothing is looked at.
type snapshot struct {
	values map[string]string
	seen   map[unsafe.Pointer]bool
}

func (s *snapshot) add(path string, v reflect.Value) {
	if v.IsValid() && v.Type() == reflect.TypeFor[time.Time]() && v.Field(0).Uint() == 0 {
		s.values[path] = fmt.Sprint(v.Field(1)) // a whole second, as a person writes it
		return
	}

	if !v.IsValid() || foreign(v.Type()) || v.Type().String() == "postgres.callCounter" {
		return // how often the database was called until this moment is luck
	}

	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || s.seen[v.UnsafePointer()] {
			return
		}

		s.seen[v.UnsafePointer()] = true
		s.add(path, v.Elem())
	case reflect.Interface:
		s.add(path, v.Elem())
	case reflect.Struct:
		s.fieldsOf(path, v)
	case reflect.Map:
		s.entriesOf(path, v)
	case reflect.Slice, reflect.Array:
		s.elementsOf(path, v)
	case reflect.Func:
		s.function(path, v)
	case reflect.Chan, reflect.UnsafePointer:
	default:
		s.values[path] = fmt.Sprint(v)
	}
}

func (s *snapshot) fieldsOf(path string, v reflect.Value) {
	s.values[path] = v.Type().String()

	if v.Type() == reflect.TypeFor[tokens.App]() && v.CanAddr() { // remedies call it when they need it
		s.values[path+".Acquire()"] = (*tokens.App)(v.Addr().UnsafePointer()).Acquire()
	}

	for i := range v.NumField() {
		s.add(path+"."+v.Type().Field(i).Name, v.Field(i))
	}
}

func (s *snapshot) entriesOf(path string, v reflect.Value) {
	entries := map[string]reflect.Value{}

	for i := v.MapRange(); i.Next(); {
		entries[path+keyText(i.Key())] = i.Value()
	}

	for _, name := range slices.Sorted(maps.Keys(entries)) {
		s.values[name] = "is there"
		s.add(name, entries[name])
	}
}

func (s *snapshot) elementsOf(path string, v reflect.Value) {
	s.values[path+".len"] = fmt.Sprint(v.Len())

	if v.Type().Elem().Kind() == reflect.Uint8 {
		s.values[path] = fmt.Sprintf("%x", v)
		return
	}

	for i := range v.Len() {
		s.add(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

// keyText returns the key of a map as text; one that leads somewhere by its type only.
func keyText(v reflect.Value) string {
	if v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		return fmt.Sprintf("[%s]", v.Type())
	}

	key := snapshot{values: map[string]string{}, seen: map[unsafe.Pointer]bool{}}
	key.add("", v)

	return fmt.Sprint(key.values)
}

// function adds which function stands somewhere, and what it returns where it reads a
// setting.
func (s *snapshot) function(path string, v reflect.Value) {
	if v.IsNil() {
		return
	}

	s.values[path] = runtime.FuncForPC(v.Pointer()).Name()
	if !v.CanAddr() {
		return
	}

	switch f := reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem().Interface().(type) {
	case func() (secret.Text, error):
		text, err := f()
		s.values[path+"()"] = fmt.Sprint(text.Reveal(), err)
	case func(*http.Request) (*url.URL, error):
		proxy, err := f(&http.Request{URL: &url.URL{Scheme: "https", Host: "login.example"}})
		s.values[path+"()"] = fmt.Sprint(proxy, err)
	}
}

// foreign reports whether values of a type are not looked at: those of other modules, of
// package config, times, and the host.
func foreign(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}

	pkg := t.PkgPath()
	if pkg == "" || t == reflect.TypeFor[time.Duration]() || t.Kind() == reflect.Interface {
		return false
	}

	ours := strings.HasPrefix(pkg, "fluent-bit-defender/")

	return !ours || strings.HasSuffix(pkg, "/config") || t == reflect.TypeFor[logHost]()
}
