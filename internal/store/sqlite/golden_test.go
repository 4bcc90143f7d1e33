package sqlite

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/test/golden"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

// goldenFiles is what the golden files hold.
var goldenFiles = []string{tokensFile, copyFile, unitsFile}

var goldenCheckpoint = store.Checkpoint{
	Floor:     1,
	Watermark: 16014749601234567,
	SeenSince: 16014749600000000,
	Swept:     16014749600000001,
	Lateness:  90 * time.Second,
}

var goldenSeen = []store.Seen{
	{Key: [16]byte{1, 2, 3}, Time: 16014749600000002},
	{Key: [16]byte{255}, Time: 16014749601234567},
}

var goldenDeferred = []store.Deferred{
	{
		Kind:   store.UnreadableWindow,
		From:   1,
		To:     2,
		Reason: "HTTP 500",
	},
	{
		Kind:    store.RejectedEvent,
		Events:  []byte("rejected"),
		Reason:  "refused by Fluent Bit",
		NextTry: time.Unix(0, 77).UTC(),
	},
	{
		Kind:   store.ParkedBatch,
		Events: []byte("parked"),
		Reason: "waiting for Fluent Bit when the input ended",
	},
}

var goldenStatus = store.Status{
	State: "failing",
	Trouble: health.Trouble{
		Reason:  advice.Unreachable,
		Message: "no network",
		Remedy:  "see \"Set\x41side\": 1", // the word of format 1, which stays in a text
	},
	Deferred: 3,
}

// What version 3 added: a document, an access token, and what a chain knows of the
// provider's own tenant.
var (
	goldenConfirmed = time.Unix(0, 88).UTC()
	goldenAccess    = tokens.AccessKey{Chain: chainKey(3), TenantID: "contoso", Resource: "https://graph.test"}
)

// expectVersion3 compares what version 3 added; before it there was nothing.
func expectVersion3(t *testing.T, s *Store, there bool) {
	t.Helper()

	body, ok, err := s.Document(t.Context(), "customers")
	if err != nil || ok != there || there && string(body) != "contoso" {
		t.Errorf("Document = %q, %v, %v", body, ok, err)
	}

	c, ok, err := s.Tokens().Load(t.Context(), chainKey(3))
	if err != nil || ok != there || c.Home != there || there && !c.Confirmed.Equal(goldenConfirmed) {
		t.Errorf("Load = %+v, %v, %v", c, ok, err)
	}

	a, ok, err := s.Tokens().KeptAccess(t.Context(), goldenAccess)
	if err != nil || ok && a.Token.Reveal() != "access" {
		t.Errorf("KeptAccess = %+v, %v, %v", a, ok, err)
	}
}

// writeGolden writes the files of the present version.
func writeGolden(t *testing.T, dir string) {
	w := newWorld(t)
	s := w.open(withKey(testKey))
	save(t, s, 1, "version-1-token")

	must := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	must(s.Tokens().Save(t.Context(), chainKey(2), chainOf("with-seed"), [32]byte{1}))
	must(s.Commit(t.Context(), []store.Commit{{Key: testUnit, Checkpoint: goldenCheckpoint, Seen: goldenSeen}}))

	for _, d := range goldenDeferred {
		_, err := s.PutDeferred(t.Context(), testUnit, d)
		must(err)
	}

	must(s.Rewind(t.Context(), testUnit, tick.Tick(77)))
	must(s.SetStatus(t.Context(), map[alert.UnitKey]store.Status{testUnit: goldenStatus}))
	must(s.SetDocument(t.Context(), "customers", []byte("contoso")))
	must(s.Tokens().KeepAccess(t.Context(), goldenAccess, tokens.Access{
		Token:  secret.New("access"),
		Expiry: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
	}))

	home := chainOf("home")
	home.Home = true
	home.Confirmed = goldenConfirmed
	must(s.Tokens().Save(t.Context(), chainKey(3), home))
	must(s.Close())
	must(os.MkdirAll(dir, 0o755))

	for _, name := range goldenFiles {
		copyTo(t, filepath.Join(w.dir, name), filepath.Join(dir, name))
	}
}

// expectGolden compares what a store holds with what was written into the golden files.
func expectGolden(t *testing.T, s *Store, deferred []store.Deferred) {
	t.Helper()
	expectToken(t, s, 1, "version-1-token")

	if seen, err := s.Tokens().SeedSeen(t.Context(), chainKey(2), [32]byte{1}); err != nil || !seen {
		t.Errorf("SeedSeen = %v, %v", seen, err)
	}

	cp, seen, ok, err := s.Load(t.Context(), testUnit)
	if err != nil || !ok || cp != goldenCheckpoint || !slices.Equal(seen, goldenSeen) {
		t.Errorf("Load = %+v, %v, %v, %v", cp, seen, ok, err)
	}

	list, err := s.ListDeferred(t.Context(), testUnit)
	if err != nil {
		t.Fatal(err)
	}

	for i := range list {
		if list[i].Events, _, err = s.DeferredEvents(t.Context(), testUnit, list[i].ID); err != nil {
			t.Fatal(err)
		}

		list[i].ID = 0
	}

	if !reflect.DeepEqual(list, deferred) {
		t.Errorf("deferred are %+v; want %+v", list, deferred)
	}

	statuses, err := s.Statuses(t.Context())
	if got := statuses[testUnit]; err != nil ||
		got.Message != "no network" || got.Reason != "" && !got.Reason.Known() ||
		got.Deferred != len(deferred) && got.Deferred != 0 {
		t.Errorf("Statuses = %+v, %v", statuses, err)
	}

	if pending, err := s.PendingRewind(t.Context(), testUnit); err != nil || pending[testUnit] != 77 {
		t.Errorf("PendingRewind = %v, %v", pending, err)
	}
}

// Every later version reads what an earlier one wrote: operators update the program,
// not the files. The files of earlier versions are never written again.
func TestGoldenFilesOfEveryVersionAreRead(t *testing.T) {
	// Files are written only where they are missing: a file that this program wrote again
	// would not show that it still reads the old one.
	present := goldenDir("v3")
	if _, err := os.Stat(present); golden.Update() && os.IsNotExist(err) {
		writeGolden(t, present)
	}

	for _, c := range []struct {
		name, dir string
		deferred  []store.Deferred
	}{
		{"of version 1, tokens.db without a seal", "v1", goldenDeferred[:1]},
		{"of version 1", "v1-sealed", goldenDeferred},
		{"of version 2", "v2", goldenDeferred},
		{"of version 3", "v3", goldenDeferred},
	} {
		for how, lost := range map[string]string{"all files": "", "tokens from the copy": tokensFile} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				w := goldenWorld(t, goldenDir(c.dir), lost)
				s := w.open(withKey(testKey))
				expectGolden(t, s, c.deferred)
				expectVersion3(t, s, c.dir == "v3")
				save(t, s, 1, "after the conversion")
				expectCopy(t, w)
			})
		}

		t.Run(c.name+", by one who only looks", func(t *testing.T) {
			w := goldenWorld(t, goldenDir(c.dir), "")
			before := readAll(t, w.dir)
			s := w.open(withKey(testKey), readOnly)
			expectGolden(t, s, c.deferred)
			expectVersion3(t, s, c.dir == "v3")

			if readAll(t, w.dir) != before {
				t.Error("a file was changed")
			}
		})
	}
}

// expectCopy expects that the copy of tokens.db is of the present version.
func expectCopy(t *testing.T, w *world) {
	t.Helper()

	db, err := sql.Open("sqlite", filepath.Join(w.dir, copyFile))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	var version int64
	if err := db.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil || version != tokensSpec.version {
		t.Errorf("the copy has version %d, %v", version, err)
	}
}

// A process of the old version would not find its tables any more.
func TestAFileInUseIsNotConverted(t *testing.T) {
	w := goldenWorld(t, goldenDir("v1-sealed"), "")
	if err := os.WriteFile(filepath.Join(w.dir, lockFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	looking := w.open(withKey(testKey), readOnly)

	_, err := w.tryOpen(withKey(testKey))
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), "stop Fluent Bit") {
		t.Fatalf("err = %v", err)
	}

	if err := looking.Close(); err != nil {
		t.Fatal(err)
	}

	expectGolden(t, w.open(withKey(testKey)), goldenDeferred)
}

func goldenDir(name string) string { return filepath.Join("..", "..", "..", "testdata", "store", name) }

// goldenWorld is a data_dir with golden files in it, but for the one called lost.
func goldenWorld(t *testing.T, dir, lost string) *world {
	t.Helper()

	w := newWorld(t)
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}

	for _, name := range goldenFiles {
		if name != lost {
			copyTo(t, filepath.Join(dir, name), filepath.Join(w.dir, name))
		}
	}

	return w
}

// readAll returns the databases of a directory, one behind the other.
func readAll(t *testing.T, dir string) string {
	t.Helper()

	var all strings.Builder

	for _, name := range goldenFiles {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}

		all.Write(b)
	}

	return all.String()
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()

	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}

	if err != nil {
		t.Fatal(err)
	}
}
