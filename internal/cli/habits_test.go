package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

func TestAWrongAPISaysWhichOnesTheTenantHas(t *testing.T) {
	w := newWorld(t)
	w.polled("siem", "graph")
	r := w.expect(w.run("rewind", contoso, "--since", "1h", "--api", "endpoint"), 2)
	contains(t, r.err, "is known, but not with the --api", "it has: graph, siem")
	r = w.expect(w.run("pull", "contoso", "--config", w.conf("siem"), "--api", "graph"), 2)
	contains(t, r.err, "it has: siem")

	if strings.Contains(r.err, "no tenant") {
		t.Error(r.err)
	}

	contains(t, w.expect(w.run("rewind", "nobody", "--since", "1h"), 2).err, "there is no tenant")
}

func TestWithoutAConfigurationTheUsualOneIsNamed(t *testing.T) {
	const usual = "/etc/fluent-bit/fluent-bit.conf"
	if _, err := os.Stat(usual); err == nil {
		t.Skip("this machine has " + usual)
	}

	w := newWorld(t)
	for _, args := range [][]string{{"consent", "contoso"}, {"discover"}} {
		r := w.expect(w.run(append([]string{"tenants"}, args...)...), 2)
		contains(t, r.err, "there is no "+usual, "--config FILE")
	}
}

func TestTheListNamesTheAPIThatAnInputReads(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem")
	w.report(s, keys[0], store.Status{State: "ok"})
	w.RevokeRefreshTokens(contoso, 50173)
	r := w.expect(w.run(append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...)...), 3)
	contains(t, r.err, "--api siem", "--api-url "+w.APIURL("siem"), "--login-url "+w.LoginURL(), "--data-dir "+w.dir)
	contains(t, w.run("tokens", "list").err, "defenderctl tokens acquire", "--api siem")
}

func TestTheListShowsATokenThatIsRefusedAtPresent(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem")

	trouble := health.Trouble{Reason: advice.ConditionalAccess, Message: "blocked by a policy", Remedy: "exclude it"}

	for _, test := range []struct {
		name   string
		status store.Status
		want   string
	}{
		{"refused", store.Status{State: health.Failing, Trouble: trouble}, "refused conditional_access"},
		{"stopped meanwhile", store.Status{State: health.Stopped, Trouble: trouble}, "ok"},
		{"the API is away", store.Status{
			State:   health.Failing,
			Trouble: health.Trouble{Reason: advice.Unreachable},
		}, "ok"},
		{"a customer of a provider", store.Status{
			State:        health.Failing,
			Trouble:      trouble,
			HomeTenantID: contoso,
		}, "ok"},
		{"the provider's secret", store.Status{
			State:        health.Failing,
			Trouble:      health.Trouble{Reason: advice.CredentialExpired},
			HomeTenantID: contoso,
		}, "refused credential_expired"},
		{"works again", store.Status{State: health.OK}, "ok"},
	} {
		w.report(s, keys[0], test.status)

		list := parse[[]map[string]any](t, w.expect(w.run("tokens", "list", "--json"), 0).out)
		if len(list) != 1 || list[0]["state"] != test.want {
			t.Errorf("%s: listed are %v", test.name, list)
		}

		people := w.expect(w.run("tokens", "list"), 0)
		if !strings.HasSuffix(strings.TrimSpace(people.out), "  "+test.want) {
			t.Errorf("%s:\n%s", test.name, people.out)
		}

		if refused := test.want == "refused conditional_access"; refused != strings.Contains(people.err, "exclude it") {
			t.Errorf("%s: %s", test.name, people.err)
		}
	}
}

func TestTheListNamesTheSignInThatTheInputNames(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem")

	w.RevokeRefreshTokens(contoso, 50173)
	w.expect(w.run(append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...)...), 3)

	const remedy = "sign in again: defenderctl tokens acquire --tenant-id x --api-url http://127.0.0.1:1"

	for _, test := range []struct {
		reason advice.Reason
		named  bool
	}{{advice.TokenDead, true}, {advice.ConsentMissing, false}} {
		w.report(s, keys[0], store.Status{
			State:   health.Failing,
			Trouble: health.Trouble{Reason: test.reason, Remedy: remedy},
		})

		list := parse[[]map[string]any](t, w.expect(w.run("tokens", "list", "--json"), 0).out)
		if named := list[0]["remedy"] == remedy; named != test.named {
			t.Errorf("%s: listed are %v", test.reason, list)
		}

		people := w.expect(w.run("tokens", "list"), 0)
		if named := strings.Contains(people.err, "--api-url http://127.0.0.1:1"); named != test.named {
			t.Errorf("%s: %s", test.reason, people.err)
		}
	}
}

func TestTheListNamesTheSameRefusalEachTime(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem", "graph")

	for i, reason := range []advice.Reason{advice.MFARequired, advice.ConsentMissing} {
		w.report(s, keys[i], store.Status{State: health.Failing, Trouble: health.Trouble{Reason: reason}})
	}

	for range 10 {
		list := parse[[]map[string]any](t, w.expect(w.run("tokens", "list", "--json"), 0).out)
		if len(list) != 1 || list[0]["state"] != "refused consent_missing" { // that of graph, the first by name
			t.Fatalf("listed are %v", list)
		}
	}
}

func TestRemovingWithoutATerminalNeedsYes(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	contains(t, w.expect(w.with(t.Context(), "y\n", "tokens", "remove", "contoso"), 2).err, "--yes", "contoso")

	if list := parse[[]any](t, w.run("tokens", "list", "--json").out); len(list) != 1 {
		t.Errorf("left: %v", list)
	}

	w.expect(w.run("tokens", "remove", "contoso", "-y"), 0)
}

func TestALostTokensFileNamesItsCopy(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)

	for _, name := range []string{"tokens.db", "tokens.db-wal", "tokens.db-shm"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}

	contains(t, w.expect(w.run("tokens", "list"), 1).err, "tokens.db is gone from "+w.dir, "tokens.db.bak")
	// A command that writes puts the copy in its place.
	w.expect(w.run(append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...)...), 0)
	contains(t, w.expect(w.run("tokens", "list"), 0).out, contoso)
}

func TestListsAreNeverNull(t *testing.T) {
	w := newWorld(t)

	conf := w.file("none.conf", "[INPUT]\n    Name cpu\n[OUTPUT]\n    Name stdout\n    Match *\n")
	for _, args := range [][]string{
		{"tokens", "list", "--json"}, {"status", "--json"},
		{"check", conf, "--json"}, {"check", "--offline", conf, "--json"},
		{"check", "--explain", "--json"}, {"version", "--json"},
	} {
		if out := w.run(args...).out; strings.Contains(out, "null") || strings.TrimSpace(out) == "" {
			t.Errorf("%v prints %s", args, out)
		}
	}
}

func TestAUsageErrorNamesTheHelpOfItsCommand(t *testing.T) {
	w := newWorld(t)
	cases := []struct {
		args []string
		want string
	}{
		{[]string{"tokens", "acquire", "--nonsense"}, "defenderctl tokens acquire --help"},
		{[]string{"tokens", "acquire"}, "defenderctl tokens acquire --help"},
		{[]string{"pull", "contoso", "--since", "x"}, "defenderctl pull --help"},
		{[]string{"tokens", "nonsense"}, "defenderctl tokens --help"},
		{[]string{"nonsense"}, "defenderctl --help"},
		{[]string{"pull"}, "defenderctl pull --help"},
		{[]string{"tokens", "remove", "a", "b"}, "defenderctl tokens remove --help"},
		{[]string{"--nonsense"}, "defenderctl --help"},
		{[]string{"version", "extra"}, "defenderctl version --help"},
	}

	for _, c := range cases {
		if r := w.expect(w.run(c.args...), 2); !strings.Contains(r.err, "see: "+c.want+"\n") {
			t.Errorf("%v: %s", c.args, r.err)
		}
	}
}

func TestVersionIsACommandToo(t *testing.T) {
	w := newWorld(t)

	line := w.expect(w.run("--version"), 0).out
	if got := w.expect(w.run("version"), 0).out; got != line || !strings.Contains(got, "commit ") ||
		!strings.Contains(got, "go1.") {
		t.Errorf("version prints %q, --version %q", got, line)
	}

	got := parse[map[string]any](t, w.expect(w.run("version", "--json"), 0).out)
	for _, key := range []string{"version", "commit", "go"} {
		if s, _ := got[key].(string); s == "" {
			t.Errorf("%s is missing in %v", key, got)
		}
	}
}
