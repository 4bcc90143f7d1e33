package fluentbit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree writes files into a directory of their own and returns it.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()

	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return dir
}

func variables(name string) (string, bool) {
	v, ok := map[string]string{"TENANT": "a.example", "EMPTY": "", "HOSTNAME": "host"}[name]
	return v, ok
}

// dump writes what was read on one line a section: kind@file:line key=value@line …
func dump(f *File, dir string) string {
	var b strings.Builder

	for _, s := range f.Sections {
		name, _ := filepath.Rel(dir, s.File)
		fmt.Fprintf(&b, "%s@%s:%d", s.Kind, name, s.Line)

		for _, p := range s.Props {
			fmt.Fprintf(&b, " %s=%s@%d", p.Key, p.Value, p.Line)

			if p.Nested {
				b.WriteString("{}")
			}

			for _, u := range p.Unset {
				fmt.Fprintf(&b, "?%s", u)
			}
		}

		b.WriteString("\n")
	}

	for _, n := range f.Notes {
		b.WriteString("note " + strings.ReplaceAll(n.Error(), dir+"/", "") + "\n")
	}

	return b.String()
}

// classicFiles are files in the classic format, and how Fluent Bit reads them.
var classicFiles = map[string]struct {
	files map[string]string
	want  string
}{
	"sections, comments, values with blanks": {map[string]string{"a": "# top\n[SERVICE]\n    Flush 1\n\n[INPUT]\n" +
		"    # in\n    Name   defender\n    Tenant_ID a.example  \n    filter severity eq 'high'\n"},
		"service@a:2 Flush=1@3\ninput@a:5 Name=defender@7 Tenant_ID=a.example@8 filter=severity eq 'high'@9\n"},
	"CRLF, no last line break": {map[string]string{"a": "[INPUT]\r\n  Name defender\r\n  Tag x"},
		"input@a:1 Name=defender@2 Tag=x@3\n"},
	"tabs as indentation": {map[string]string{"a": "[INPUT]\n\tName defender\n"}, "input@a:1 Name=defender@2\n"},
	"a key twice": {map[string]string{"a": "[INPUT]\n  Name a\n  name b\n"},
		"input@a:1 Name=a@2 name=b@3\n"},
	"variables, set below": {map[string]string{"a": "[INPUT]\n  tenant_id ${TENANT}\n  x ${NONE}-${NONE}\n" +
		"  y ${NONE:-d}\n  z ${LATER}\n  w ${EMPTY}\n@SET LATER=now=1\n"},
		"input@a:1 tenant_id=a.example@2 x=-@3?NONE y=d@4 z=now=1@5 w=@6?EMPTY\n"},
	"the file's own variable": {map[string]string{"a": "@SET TENANT=own\n[INPUT]\n  t ${TENANT}\n" +
		"  h ${HOSTNAME}\n  o ${open\n  e ${}\n"}, "input@a:2 t=own@3 h=host@4 o=${open@5 e=${}@6\n"},
	"an included file": {map[string]string{"a": "[INPUT]\n  Name a\n@INCLUDE sub/b\n  Tag x\n",
		"sub/b": "[OUTPUT]\n\tName b\n"}, "input@a:1 Name=a@2 Tag=x@4\noutput@sub/b:1 Name=b@2\n"},
	"included names from the top": {map[string]string{"a": "@include sub/b\n", "sub/b": "@INCLUDE sub/c\n",
		"sub/c": "[INPUT]\n  Name c\n"}, "input@sub/c:1 Name=c@2\n"},
	"a glob, in order": {map[string]string{"a": "@INCLUDE d/*.conf\n", "d/2.conf": "[B]\n", "d/1.conf": "[A]\n",
		"d/3.txt": "[D]\n"}, "other@d/1.conf:1\nother@d/2.conf:1\n"},
	"a brace before the variable": {map[string]string{"a": "[INPUT]\n  a a}b${TENANT}\n" +
		"  b ${TENANT}x}b${TENANT}\n  c ${TENANT}-${open\n"},
		"input@a:1 a=a}b${TENANT}@2 b=a.exampleb${TENANT}@3 c=a.example@4\n"},
	"a default for an empty one": {map[string]string{"a": "@SET E=\n[INPUT]\n  a ${E:-d}\n  b x${E}\n  c ${E:d}\n"},
		"input@a:2 a=d@3 b=x@4 c=@5?E:d\n"},
	"shortened headers": {map[string]string{"a": "[IN]\n  Name a\n[ INPUT ]\n  Name b\n[Outputs]\n  Name c\n" +
		"[PLUGIN]\n  Path d\n"}, "input@a:1 Name=a@2\nother@a:3 Name=b@4\noutput@a:5 Name=c@6\n" +
		"plugins@a:7 Path=d@8\n"},
	"the double indentation": {map[string]string{"a": "[INPUT]\n  Name a\n    Tag b\n"},
		"input@a:1 Name=a@2 Tag=b@3\n"},
	"an unknown command": {map[string]string{"a": "@IMPORT x\n@SET y\n"},
		"note a:1: is a command that Fluent Bit does " +
			"not know and ignores; use @INCLUDE or @SET\n" +
			"note a:2: is an @SET without name and value, which Fluent Bit ignores; write it like @SET " +
			"name=value\n"},
	"a directory included": {map[string]string{"a": "@INCLUDE d\n", "d/x": "[INPUT]\n  Name x\n"},
		"note a:1: includes the directory d, from which Fluent Bit reads nothing; name the files in it: " +
			"d/*.conf\n"},
	"not indented at all": {map[string]string{"a": "[INPUT]\nName x\n"},
		"input@a:1 ame=x@2\nnote a:2: is not indented: " +
			"Fluent Bit takes its first letter for the indentation of the file; indent the keys of a section by " +
			"four blanks\n"},
	"a group": {map[string]string{"a": "[INPUT]\n  Name a\n  [G] x\n    k v\n  Tag t\n"},
		"input@a:1 Name=a@2 G=@3{} Tag=t@5\n"},
}

func TestClassicFilesAreReadAsFluentBitDoes(t *testing.T) {
	for name, c := range classicFiles {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files)

			f, err := Load(filepath.Join(dir, "a"), variables)
			if err != nil {
				t.Fatal(err)
			}

			if got := dump(f, dir); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// yamlFiles are files in YAML, and how Fluent Bit reads them.
var yamlFiles = map[string]struct {
	files map[string]string
	want  string
}{
	"pipeline": {map[string]string{"a.yaml": "service:\n  flush: 1\npipeline:\n  inputs:\n    - name: defender\n" +
		"      tenantId: ${TENANT}\n      updates: off\n  outputs:\n    - name: stdout\n      match: '*'\n"},
		"service@a.yaml:1 flush=1@2\ninput@a.yaml:5 name=defender@5 tenant_id=a.example@6 updates=off@7\n" +
			"output@a.yaml:9 name=stdout@9 match=*@10\n"},
	"env goes first": {map[string]string{"a.yaml": "pipeline:\n  inputs:\n    - name: ${N}\nenv:\n  N: defender\n"},
		"input@a.yaml:3 name=defender@3\n"},
	"lists and nesting": {map[string]string{"a.yml": "pipeline:\n  inputs:\n    - name: x\n      path: [p, q]\n" +
		"      processors:\n        logs:\n          - name: y\n"},
		"input@a.yml:3 name=x@3 path=p@4 path=q@4 processors=@5{}\n"},
	"plugins": {map[string]string{"a.yaml": "plugins:\n  - /My_x.so\n  - myDir/y.so\n"},
		"plugins@a.yaml:1 path=/My_x.so@2 path=my_dir/y.so@3\n"},
	"two documents": {map[string]string{
		"a.yaml": "service:\n  flush: 1\n---\npipeline:\n  inputs:\n    - name: x\n",
	},
		"service@a.yaml:1 flush=1@2\ninput@a.yaml:6 name=x@6\n"},
	"nothing":            {map[string]string{"a.yaml": "# nothing\n"}, ""},
	"empty lists":        {map[string]string{"a.yaml": "pipeline:\n  inputs: []\n  filters: []\n"}, ""},
	"an unknown section": {map[string]string{"a.yaml": "servce:\n  flush: 1\n"}, "other@a.yaml:1 flush=1@2\n"},
	"includes from the file that has them": {map[string]string{"a.yaml": "includes:\n  - sub/b.yaml\n",
		"sub/b.yaml": "includes: ['c*.yaml']\n", "sub/c1.yaml": "pipeline:\n  inputs:\n  - name: c\n"},
		"input@sub/c1.yaml:3 name=c@3\n"},
	"values as written": {map[string]string{
		"a.yaml": "service:\n  a: 007\n  b: ~\n  c:\n  d: 1e3\n  e: |\n    x\n    y\n",
	},
		"service@a.yaml:1 a=007@2 b=~@3 c=@4 d=1e3@5 e=x\ny@6\n"},
}

func TestYAMLFilesAreReadAsFluentBitDoes(t *testing.T) {
	for name, c := range yamlFiles {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files)

			path := filepath.Join(dir, "a.yaml")
			if _, ok := c.files["a.yml"]; ok {
				path = filepath.Join(dir, "a.yml")
			}

			f, err := Load(path, variables)
			if err != nil {
				t.Fatal(err)
			}

			if got := dump(f, dir); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}

	dir := tree(t, map[string]string{"v": "secret\n"})

	text := "env:\n  - name: V\n    uri: 'file://" + dir +
		"/v'\n  - W: w\n  - name: U\n    value: u\npipeline:\n  inputs:\n  - name: ${V}${W}${U}\n"
	if err := os.WriteFile(dir+"/a.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	f, err := Load(dir+"/a.yaml", variables)
	if err != nil || f.Of("input")[0].Get("NAME") != "secretwu" {
		t.Errorf("variables from files: %+v, %v", f, err)
	}
}

// brokenFiles are files that Fluent Bit refuses, and what is said of each.
var brokenFiles = map[string]struct {
	files map[string]string
	want  string
}{
	"missing":     {map[string]string{}, "a: cannot be read: no such file or directory; "},
	"a directory": {map[string]string{"a/x": ""}, "a: is a directory; "},
	"header without end": {map[string]string{"a": "[INPUT\n"},
		"a:1: is a section header without its closing bracket; "},
	"key not indented": {map[string]string{"a": "[INPUT]\n  Name x\nTag y\n"},
		"a:3: is a key that is not indented; "},
	"a remark between": {map[string]string{"a": "[INPUT]\n    Name x\n  # y\n"},
		"a:3: is indented less than the first indented line of the file"},
	"blanks alone": {map[string]string{"a": "[INPUT]\n    Name x\n  \n"},
		"a:3: is indented less than the first indented line of the file"},
	"a first line of blanks": {map[string]string{"a": "  \n[INPUT]\n   Name x\n"},
		"a:3: is indented further than the lines above it; "},
	"blank after include": {map[string]string{"a": "[A]\n@INCLUDE b \n", "b": ""},
		"a:2: included file DIR/b  cannot be read: no such file or directory; remove the blanks"},
	"two blanks in include": {map[string]string{"a": "@INCLUDE  b\n", "b": ""},
		"a:1: included file DIR/ b cannot be read: no such file or directory; remove the blanks"},
	"tab after include": {map[string]string{
		"a": "@INCLUDE\tb\n",
		"b": "",
	}, "a:1: is an @ command without a blank"},
	"a glob without match": {map[string]string{"a": "[A]\n@INCLUDE d/*.conf\n"},
		"a:2: includes no file: nothing matches "},
	"a group without blank": {map[string]string{"a": "[A]\n  [g]\n    a b\n"}, "a:2: is a key without a value; "},
	"two groups, one empty": {map[string]string{"a": "[A]\n  a b\n  [g] x\n    [h] x\n"},
		"a:4: begins a group after one without keys; "},
	"a byte order mark": {map[string]string{"a": "\xef\xbb\xbf[INPUT]\n  Name x\n"}, "a:1: "},
	"indented differently": {map[string]string{"a": "[INPUT]\n    Name x\n  Tag y\n"},
		"a:3: is indented less than the first indented line of the file"},
	"tab after blanks": {map[string]string{"a": "[INPUT]\n    Name x\n\tTag y\n"},
		"a:3: mixes tabs and blanks in the indentation; "},
	"key without value": {map[string]string{"a": "[INPUT]\n    Name\n"}, "a:2: is a key without a value; "},
	"parted by a tab": {map[string]string{"a": "[INPUT]\n    Name\tx\n"},
		"a:2: separates a key from its value by a tab; "},
	"key before any section": {map[string]string{"a": "    Name x\n"}, "a:1: is a key before the first section; "},
	"include missing": {map[string]string{"a": "[A]\n@INCLUDE b\n"},
		"a:2: included file DIR/b cannot be read: no such file or directory; "},
	"include a device": {map[string]string{"a": "@INCLUDE /dev/zero\n"},
		"a:1: included file /dev/zero is not a regular file; "},
	"include itself": {map[string]string{"a": "@INCLUDE a\n"}, "a:1: included file DIR/a is read twice; "},
	"include in a circle": {map[string]string{"a": "@INCLUDE b\n", "b": "\n@INCLUDE *\n"},
		"b:2: included file DIR/a is read twice; "},
	"wild include": {map[string]string{"a": "@INCLUDE /*/*/*/*/*\n"},
		"a:1: has wildcards in more than 3 directories; "},
	"error in an include": {map[string]string{
		"a": "@INCLUDE b\n",
		"b": "[X]\n bad\n",
	}, "b:2: is a key without a value; "},
	"too large": {map[string]string{"a": strings.Repeat("#", maxBytes+1)}, "a: is too large; "},

	"YAML list":   {map[string]string{"a.yaml": "- a\n"}, "a.yaml:1: is not a mapping; "},
	"YAML syntax": {map[string]string{"a.yaml": "pipeline:\n\tinputs:\n"}, "a.yaml:2: is not YAML: "},
	"YAML alias": {map[string]string{"a.yaml": "service: &s\n  a: b\npipeline:\n  inputs:\n  - name: x\n" +
		"    y: *s\n"},
		"a.yaml:6: uses an alias, which Fluent Bit does not know; "},
	"YAML pipeline part": {map[string]string{"a.yaml": "pipeline:\n  input:\n  - name: x\n"},
		"a.yaml:2: pipeline has an unknown part; "},
	"YAML include missing": {map[string]string{"a.yaml": "includes:\n- b.yaml\n"},
		"a.yaml:2: included file DIR/b.yaml cannot be read: "},
	"YAML include circle": {map[string]string{"a.yaml": "includes: [b.yaml]\n", "b.yaml": "includes: [a.yaml]\n"},
		"b.yaml:1: included file DIR/a.yaml is read twice; "},
	"YAML section a word": {map[string]string{"a.yaml": "service: x\n"}, "a.yaml:1: service is not a mapping; "},
	"YAML empty section":  {map[string]string{"a.yaml": "service:\n"}, "a.yaml:1: service has nothing under it"},
	"YAML empty filters": {map[string]string{"a.yaml": "pipeline:\n  filters:\n"},
		"a.yaml:2: filters has nothing under it"},
	"YAML empty value list": {map[string]string{"a.yaml": "pipeline:\n  inputs:\n  - name: x\n    y: []\n"},
		"a.yaml:4: y is an empty list"},
	"YAML nested value": {map[string]string{"a.yaml": "pipeline:\n  inputs:\n  - name: x\n    y: {a: b}\n"},
		"a.yaml:4: y is a structure"},
	"YAML inputs a mapping": {map[string]string{"a.yaml": "pipeline:\n  inputs:\n    name: x\n"},
		"a.yaml:2: inputs is not a list; "},
	"YAML service twice": {map[string]string{"a.yaml": "includes: [b.yaml]\nservice:\n  flush: 1\n",
		"b.yaml": "service:\n  flush: 2\n"}, "a.yaml:2: service is there twice; "},
	"YAML env nested": {map[string]string{"a.yaml": "env:\n  A: {value: b}\n"},
		"a.yaml:2: env has something that is not a plain value; "},
	"YAML env file gone": {map[string]string{"a.yaml": "env:\n  A: file:///none/x\n"},
		"a.yaml:2: the file with the variable A cannot be used: no such file or directory; "},
	"YAML empty logs": {map[string]string{
		"a.yaml": "pipeline:\n  inputs:\n  - name: x\n    processors:\n      logs:\n",
	},
		"a.yaml:5: logs has nothing under it"},
	"YAML service list": {map[string]string{"a.yaml": "service:\n  flush: [1]\n"},
		"a.yaml:2: flush is not a plain value; "},
	"YAML tenants file": {map[string]string{"a.yaml": "tenants:\n- tenant_id: x\n"},
		"a.yaml:1: is a tenants file, not a configuration of Fluent Bit; "},
}

func TestBrokenFilesNameFileAndLine(t *testing.T) {
	for name, c := range brokenFiles {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files)

			path := filepath.Join(dir, "a")
			if _, ok := c.files["a.yaml"]; ok {
				path += ".yaml"
			}

			f, err := Load(path, variables)

			var e *Error
			if f != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v", f, err)
			}

			got := strings.Replace(strings.TrimPrefix(err.Error(), dir+"/"), dir, "DIR", 1)
			if !strings.HasPrefix(got, c.want) || e.Remedy == "" {
				t.Errorf("got  %s\nwant %s…", got, c.want)
			}

			if errors.Is(err, ErrTenantsFile) != (name == "YAML tenants file") {
				t.Errorf("tenants file: %v", err)
			}
		})
	}
}

func fuzzed(t *testing.T, data []byte, format Format) {
	l := newLoader("/nonexistent/x", format, variables)
	l.include = func(string, *Error) error { return nil }

	read := l.classic
	if format == YAML {
		read = l.yaml
	}

	if err := read("x", data); err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Problem == "" || strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Errorf("error %q", err)
		}

		return
	}

	l.expandAll()

	lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2

	for _, s := range l.file.Sections {
		for _, p := range s.Props {
			if p.Line < 1 || format == Classic && (p.Line > lines || p.Key == "" && !p.Nested || p.Line <= s.Line) {
				t.Errorf("%s:%d: %+v", s.Kind, s.Line, p)
			}
		}
	}
}

func FuzzClassic(f *testing.F) {
	f.Add([]byte("[INPUT]\n    Name defender\n    x ${A:-b}\n@SET A=1\n"))
	f.Add([]byte("@INCLUDE *.conf\r\n[A]\n\tB c\n\t[G] x\n\t\tk v\n"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzed(t, data, Classic) })
}

func FuzzYAML(f *testing.F) {
	f.Add([]byte("pipeline:\n  inputs:\n    - name: defender\n      path: [a, b]\nenv:\n  A: 1\n"))
	f.Add([]byte("includes:\n  - a.yaml\nplugins: [x]\nservice:\n  a: {b: c}\n"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzed(t, data, YAML) })
}
