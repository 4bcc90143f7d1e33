package cli_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fluent-bit-defender/internal/testbed/simulator"
)

func TestAdviceFitsWhatWasGiven(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		says string
		not  string
	}{
		"a port that is none": {[]string{"--redirect-uri", "http://localhost:99999/"}, 2,
			"99999 is not a port", "--port"},
		"a prompt that is none":      {[]string{"--prompt", "zz"}, 2, "--prompt", ""},
		"an argument":                {[]string{"extra"}, 2, "does not go with", "unknown command"},
		"a region of another API":    {[]string{"--api", "siem", "--region", "swa"}, 2, "us, eu, uk", "swa, "},
		"a region where there isn't": {[]string{"--region", "eu"}, 2, "remove region", "swa"},
		"seconds without a unit":     {[]string{"--timeout", "1", "--no-browser"}, 1, "within 1s", ""},
		"a duration that is none":    {[]string{"--timeout", "soon"}, 2, "--timeout", ""},
		"the secret of the environment at a public client": {[]string{"--client-id", public, "--no-browser"}, 1,
			"unset DEFENDER_CLIENT_SECRET", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)

			w.env["DEFENDER_CLIENT_SECRET"] = appSecret
			if name == "the secret of the environment at a public client" {
				w.SetApp(contoso, public, func(a *simulator.App) { a.AADSTS = 700025 })

				c.args = c.args[:2]
			}

			args := append(
				[]string{
					"tokens",
					"acquire",
					"--tenant-id",
					contoso,
					"--client-id",
					client,
					"--login-url",
					w.LoginURL(),
				},
				c.args...)
			if !strings.Contains(strings.Join(args, " "), "--region") {
				args = append(args, "--api-url", w.APIURL("graph"))
			}

			r := w.expect(w.run(args...), c.code)
			contains(t, r.err, c.says)

			if c.not != "" && strings.Contains(r.err, c.not) {
				t.Errorf("%q is in %s", c.not, r.err)
			}
		})
	}
}

// interrupting is a stderr that interrupts the command when a text appears.
type interrupting struct {
	lockedBuffer
	text   string
	cancel func()
}

func (i *interrupting) Write(p []byte) (int, error) {
	n, err := i.lockedBuffer.Write(p)
	if strings.Contains(i.String(), i.text) {
		i.cancel()
	}

	return n, err
}

func TestACodeForAnotherDeviceSaysWhenTheWaitEnds(t *testing.T) {
	cases := map[string]string{"9": "within 9s.", "10m": "within 10m.", "20": "within 20s.",
		"90s": "within 90s.", "1d": "within 15m."}

	for timeout, says := range cases {
		t.Run(timeout, func(t *testing.T) {
			at := time.Now()
			w := newWorld(t)
			w.now = func() time.Time { return at }
			ctx, cancel := context.WithCancel(t.Context())
			errs := &interrupting{text: "within", cancel: cancel}
			w.start(ctx, strings.NewReader(""), io.Discard, errs, "tokens", "acquire", "--device-code",
				"--tenant-id", contoso, "--client-id", public, "--login-url", w.LoginURL(), "--api-url",
				w.APIURL("graph"), "--timeout", timeout)
			contains(t, errs.String(), says)
		})
	}
}

func TestPassingTroubleOfAnAPIHasARemedy(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("graph")...), 0)

	conf := w.conf("graph")
	for _, fault := range []string{"429:api=graph;wait=30s", "500:api=graph"} {
		if err := w.SetFaults(fault); err != nil {
			t.Fatal(err)
		}

		contains(t, w.expect(w.run("check", conf), 1).out, "try again")
		contains(t, w.expect(w.run("pull", "contoso", "--config", conf), 1).err, "try again")
		contains(t, w.expect(w.run(w.acquire("graph")...), 1).err, "try again")
	}
}

func TestRekeyNamesTheKeyForEveryDirectory(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	t.Chdir(filepath.Dir(w.key("a")))
	r := w.expect(w.run("tokens", "rekey", "--key-file", "a.key"), 0)
	contains(t, r.out, "key_file "+w.key("a"))

	if strings.Contains(r.err, "tokens rekey") {
		t.Error(r.err)
	}
}

func TestRewindingATenantThatWasNeverPolledSaysSo(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	contains(t, w.expect(w.run("rewind", "contoso", "--since", "1h"), 2).err, "no input", "has polled it yet")
}

func TestRemovingATokenSaysHowTheInputSignsInThen(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	contains(t, w.expect(w.run("tokens", "remove", "contoso", "--yes"), 0).err, "grant auto",
		"as the application itself", "set grant refresh_token")
}

func TestADamagedStoreIsNotSetAsideByLooking(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)

	if err := os.WriteFile(
		filepath.Join(w.dir, "tokens.db"),
		[]byte("this is no database, whatever its name says"),
		0o600,
	); err != nil {
		t.Fatal(err)
	}

	contains(t, w.expect(w.run("tokens", "list"), 1).err, "this command only reads")
}

func TestHelpFitsAHundredColumnsAndHasExamples(t *testing.T) {
	w := newWorld(t)

	all := append(
		[]string{
			"",
			"tokens",
			"completion",
			"completion bash",
			"completion zsh",
			"completion fish",
			"completion powershell",
		},
		commands...)
	for _, name := range all {
		out := w.expect(w.run(append(strings.Fields(name), "--help")...), 0).out
		if !strings.Contains(out, "Examples:") {
			t.Errorf("%s has no example", name)
		}

		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 &&
				!strings.HasPrefix(name, "completion ") {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}

	contains(t, w.expect(w.run("completion", "tcsh"), 2).err, "tcsh")
	w.expect(w.run("completion"), 0)
}
