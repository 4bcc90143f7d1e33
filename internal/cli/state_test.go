package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
)

// polled opens the data directory as a running input does, with units of contoso.
func (w *world) polled(apis ...string) (store.Store, []alert.UnitKey) {
	w.t.Helper()

	s, err := sqlite.Open(sqlite.Options{Dir: w.dir, Inputs: true})
	if err != nil {
		w.t.Fatal(err)
	}

	w.t.Cleanup(func() { s.Close() })

	var keys []alert.UnitKey

	host := strings.TrimPrefix(w.Simulator.LoginURL(), "http://")
	for _, api := range apis {
		key := alert.UnitKey{LoginHost: host, TenantID: contoso, API: alert.API(api)}

		now := tick.FromTime(time.Now())
		if err := s.Commit(w.t.Context(), []store.Commit{
			{
				Key: key,
				Checkpoint: store.Checkpoint{
					Floor:     now - 24*60*tick.Minute,
					Watermark: now,
					SeenSince: now - 24*60*tick.Minute,
				},
			},
		}); err != nil {
			w.t.Fatal(err)
		}

		keys = append(keys, key)
	}

	return s, keys
}

func (w *world) report(s store.Store, key alert.UnitKey, st store.Status) {
	w.t.Helper()

	st.TenantName, st.ClientID, st.UpdatedAt = "contoso", client, time.Now()
	if err := s.SetStatus(context.Background(), map[alert.UnitKey]store.Status{key: st}); err != nil {
		w.t.Fatal(err)
	}
}

func TestStatusReadsWhileAnInputWrites(t *testing.T) {
	w := newWorld(t)
	s, keys := w.polled("siem", "graph")
	stop := make(chan struct{})

	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}

			at := time.Now()
			w.report(s, keys[0], store.Status{
				State:       "ok",
				LastSuccess: at,
				LastAlert:   at,
				Emitted:     n,
				Polls:       n,
			})

			if err := s.Commit(context.Background(), []store.Commit{
				{
					Key:  keys[0],
					Seen: []store.Seen{{Key: [16]byte{byte(n), byte(n >> 8)}, Time: tick.FromTime(at)}},
				},
			}); err != nil {
				t.Error(err)
				return
			}
		}
	})

	last := 0.0

	for range 50 {
		for _, r := range parse[[]map[string]any](t, w.expect(w.run("status", "--json"), 0).out) {
			n := r["emitted"].(float64)
			if r["api"] != "siem" || n < last || r["state"] != "ok" || r["tenant_id"] != contoso {
				t.Fatalf("read %v after %v", r, last)
			}

			last = n
		}
	}

	close(stop)
	wg.Wait()

	if last == 0 {
		t.Error("nothing was read")
	}

	contains(t, w.expect(w.run("status"), 0).out, "contoso", "siem", "ok")
}

func TestStatusShowsReasonRemedyStalenessAndTheTokensEnd(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem")
	w.report(s, keys[0], store.Status{
		State: "failing",
		Trouble: health.Trouble{
			Reason:  advice.CredentialExpired,
			Message: "the secret has expired",
			Remedy:  "make a new one",
			Trace:   "trace id 4711",
		},
		Errors:     7,
		Deferred:   1,
		LagSeconds: 12.5,
	})
	r := w.expect(w.run("status"), 0)
	contains(t, r.out, "failing", "the secret has expired; make a new one (trace id 4711)", "TOKEN_ENDS", "in 89d")

	got := parse[[]map[string]any](t, w.run("status", "--json").out)[0]
	for key, want := range map[string]any{
		"state":        "failing",
		"errors":       7.0,
		"deferred":     1.0,
		"lag_seconds":  12.5,
		"last_success": nil,
		"reason":       "credential_expired",
		"message":      "the secret has expired",
		"remedy":       "make a new one",
		"trace":        "trace id 4711",
	} {
		if got[key] != want {
			t.Errorf("%s is %v; want %v", key, got[key], want)
		}
	}

	if got["token_expires"] == nil {
		t.Error("no token_expires")
	}

	w.now = func() time.Time { return time.Now().Add(80 * 24 * time.Hour) }
	contains(t, w.run("status").out, "stale", "ends in 10 days")
}

func TestStatusWatchGoesOnUntilInterrupted(t *testing.T) {
	w := newWorld(t)
	s, keys := w.polled("siem")
	w.report(s, keys[0], store.Status{State: "ok"})

	ctx, cancel := context.WithCancel(t.Context())
	r, out := io.Pipe()

	go func() {
		buf := make([]byte, 1)
		if _, err := r.Read(buf); err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}

		cancel()
		io.Copy(io.Discard, r) // until the command ends
	}()

	if code := w.start(ctx, strings.NewReader(""), out, io.Discard, "status", "--watch"); code != 130 {
		t.Errorf("exit code %d", code)
	}

	out.Close()
}

func TestRewindIsLeftInTheStoreForTheInput(t *testing.T) {
	w := newWorld(t)

	s, keys := w.polled("siem", "graph")
	for _, key := range keys {
		w.report(s, key, store.Status{State: "ok"})
	}

	since := "2026-03-01T12:00:00Z"
	r := w.expect(w.run("rewind", "contoso", "--since", since, "--api", "siem"), 0)
	contains(t, r.out, "api siem: everything updated since 2026-03-01T12:00:00Z will")

	pending, err := s.PendingRewind(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	want, _ := tick.Parse(since)
	if len(pending) != 1 || pending[keys[0]] != want {
		t.Errorf("pending: %v", pending)
	}

	w.expect(w.run("rewind", strings.ToUpper(contoso), "--since", "7d"), 0)

	if pending, err = s.PendingRewind(t.Context()); err != nil || len(pending) != 2 {
		t.Errorf("pending: %v, %v", pending, err)
	}

	cp, ok, err := s.ApplyRewind(t.Context(), keys[0])
	if err != nil || !ok || cp.Watermark > want {
		t.Errorf("applied: %+v, %v, %v", cp, ok, err)
	}

	for _, args := range [][]string{
		{"rewind", "contoso"},
		{"rewind", "contoso", "--since", "tomorrow"},
		{"rewind", "contoso", "--since", "2999-01-01"},
		{"rewind", "contoso", "--since", "1h", "--api", "none"},
	} {
		w.expect(w.run(args...), 2)
	}
}

func TestCheckVisitsEveryTenantAndTheWorstCodeWins(t *testing.T) {
	w := newWorld(t)
	section := func(name, id, api, more string) string {
		return fmt.Sprintf(
			"[INPUT]\n"+
				"    Name defender\n"+
				"    Tag defender.%s\n"+
				"    Threaded Off\n"+
				"    storage.type filesystem\n"+
				"    tenant_id %s\n"+
				"    tenant_name %s\n"+
				"    client_id %s\n"+
				"    client_secret_file %s\n"+
				"    api %s\n"+
				"    login_url %s\n"+
				"    api_url %s\n"+
				"    data_dir %s\n"+
				"%s",
			name,
			id,
			name,
			client,
			w.secretFile(),
			api,
			w.LoginURL(),
			w.APIURL(api),
			w.dir,
			more,
		)
	}
	conf := "[SERVICE]\n    storage.path /x\n" +
		section("contoso", contoso, "siem", "") + section("fabrikam", fabrikam, "graph", "") +
		"[OUTPUT]\n    Name stdout\n    Match *\n    Retry_Limit no_limits\n"
	path := w.file("two.conf", conf)
	r := w.expect(w.run("check", path), 0)
	contains(t, r.out, "no problems found", "contoso", "fabrikam", "client_credentials")
	noSecret(t, r)
	w.SetMSSPAuthorised(contoso, false)
	r = w.expect(w.run("check", path), 4)
	contains(t, r.out, "https://security.microsoft.com?tid="+contoso, client, "Authorize application")
	w.SetApp(fabrikam, client, func(a *simulator.App) { a.Secret = "another" })
	got := parse[map[string]any](t, w.expect(w.run("check", path, "--json"), 4).out)
	codes := map[string]float64{}

	for _, v := range got["tenants"].([]any) {
		m := v.(map[string]any)
		codes[m["tenant"].(string)] = m["exit_code"].(float64)
	}

	if codes["contoso"] != 4 || codes["fabrikam"] != 1 || got["exit_code"] != 4.0 {
		t.Errorf("codes %v of %v", codes, got["exit_code"])
	}

	w.SetMSSPAuthorised(contoso, true)
	w.expect(w.run("check", path), 1)
	w.expect(w.run("check", "--offline", path), 0)
	w.expect(
		w.run("check", "--offline", w.file("bad.conf", strings.Replace(conf, "Threaded Off", "Threaded On", 1))),
		1,
	)
	w.expect(w.run("check", w.file("nonsense.conf", "[INPUT\n")), 1)
	w.expect(w.run("check", "/nonexistent.conf"), 1)
	w.expect(w.run("check", "a", "b"), 2)
	w.RevokeRefreshTokens(contoso, 50173)
}

func TestFlagsGoBeforeTheConfiguration(t *testing.T) {
	w := newWorld(t)
	conf := strings.NewReplacer(
		w.LoginURL(), "http://127.0.0.1:1",
		w.APIURL("graph"), "http://127.0.0.1:2",
		"client_secret_file "+w.secretFile(), "client_secret nonsense",
	).Replace(string(must(os.ReadFile(w.conf("graph", "grant client_credentials")))))
	path := w.file("elsewhere.conf", conf)
	flags := []string{"--login-url", w.LoginURL(), "--api-url", w.APIURL("graph")}

	w.expect(w.run("check", path), 1)
	contains(t, w.expect(w.run(append([]string{"check", path}, flags...)...), 1).out, "AADSTS7000215")
	w.expect(
		w.run(append(
			[]string{"pull", "contoso", "--config", path, "--client-secret-file", w.secretFile()},
			flags...)...),
		0,
	)
	w.expect(w.run("pull", "contoso", "--config", path, "--login-url", "http://example.com"), 2)
}

func TestExplainListsEveryHost(t *testing.T) {
	w := newWorld(t)
	contains(t, w.expect(w.run("check", "--explain"), 0).out, "wdatp-alertexporter-eu.windows.com/api/alerts",
		"https://graph.windows.net", "login.microsoftonline.us", "1500")

	if rows := parse[[]map[string]any](t, w.run("check", "--explain", "--json").out); len(rows) < 16 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestCheckOfATenantsFileAlone(t *testing.T) {
	w := newWorld(t)
	path := w.file(
		"tenants.yaml",
		fmt.Sprintf(
			"defaults:\n"+
				"  client_id: %s\n"+
				"  client_secret_file: %s\n"+
				"  login_url: %s\n"+
				"tenants:\n"+
				"  - tenant_id: %s\n"+
				"    tenant_name: contoso\n"+
				"    api: graph\n"+
				"    api_url: %s\n"+
				"  - tenant_id: %s\n"+
				"    tenant_name: fabrikam\n"+
				"    api: endpoint\n"+
				"    api_url: %s\n",
			client,
			w.secretFile(),
			w.LoginURL(),
			contoso,
			w.APIURL("graph"),
			fabrikam,
			w.APIURL("endpoint"),
		),
	)

	contains(t, w.expect(w.run("check", path), 0).out, "contoso", "fabrikam", "endpoint")
	w.expect(w.run("pull", "fabrikam", "--config", path), 0)
}
